#include "ccurl.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

// OpenSSL writes with write(2), so a peer that hangs up raises SIGPIPE, and with CURLOPT_NOSIGNAL libcurl leaves that to us.
// It is sent to the thread that wrote: blocked there meanwhile, and taken away afterwards, nobody else notices.
struct pipe_guard {
    sigset_t usual;
    int was_pending;
};

static void only_broken_pipe(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGPIPE);
}

static void block_broken_pipe(struct pipe_guard *guard) {
    sigset_t set;
    sigpending(&set);
    guard->was_pending = sigismember(&set, SIGPIPE);
    only_broken_pipe(&set);
    pthread_sigmask(SIG_BLOCK, &set, &guard->usual);
}

static void unblock_broken_pipe(const struct pipe_guard *guard) {
    if (!guard->was_pending) {
        sigset_t set;
        const struct timespec now = {0, 0};
        only_broken_pipe(&set);
        while (sigtimedwait(&set, NULL, &now) == SIGPIPE) {}
    }
    pthread_sigmask(SIG_SETMASK, &guard->usual, NULL);
}

int hfj_curl_initialize(void) { return (int)curl_global_init(CURL_GLOBAL_DEFAULT); }

// The library that is here when the program runs may be older than the one it was built with: before 7.85 protocols are bits.
static CURLcode restrict_protocols(CURL *handle) {
#if LIBCURL_VERSION_NUM >= 0x075500
    CURLcode known = curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    if (known != CURLE_UNKNOWN_OPTION)
        return known ? known : curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS_STR, "https");
#endif
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    CURLcode code = curl_easy_setopt(handle, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    return code ? code : curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS, (long)CURLPROTO_HTTPS);
#pragma GCC diagnostic pop
}

#define SET(option, value)                                        \
    do {                                                          \
        CURLcode set_code = curl_easy_setopt(handle, option, value); \
        if (set_code) return (int)set_code;                       \
    } while (0)

int hfj_curl_perform(void *handle, const struct hfj_exchange *exchange) {
    // Connections, sessions and names stay; every setting goes, so that no header of one exchange leaks into another.
    curl_easy_reset(handle);
    CURLcode restricted = restrict_protocols(handle);
    if (restricted) return (int)restricted;
    SET(CURLOPT_URL, exchange->url);
    SET(CURLOPT_USERAGENT, exchange->user_agent);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
    // Without it a resolver that times out would raise SIGALRM in the whole process.
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, exchange->connect_milliseconds);
    SET(CURLOPT_BUFFERSIZE, 512L * 1024L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    if (exchange->is_head)
        SET(CURLOPT_NOBODY, 1L);
    else if (exchange->is_post) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)exchange->body_length);
        SET(CURLOPT_POSTFIELDS, exchange->body ? exchange->body : "");
    } else
        SET(CURLOPT_HTTPGET, 1L);
    if (exchange->headers) {
        SET(CURLOPT_HTTPHEADER, exchange->headers);
        // A proxy that only forwards an encrypted connection has no business with our headers.
        SET(CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    }
    if (exchange->certificate_file || exchange->certificate_folder) {
        // Both, so that the one that is not named does not keep libcurl's default.
        SET(CURLOPT_CAINFO, exchange->certificate_file);
        SET(CURLOPT_CAPATH, exchange->certificate_folder);
    }
    if (exchange->bypasses_proxy) SET(CURLOPT_PROXY, "");
    SET(CURLOPT_HEADERFUNCTION, exchange->on_header);
    SET(CURLOPT_HEADERDATA, exchange->context);
    SET(CURLOPT_WRITEFUNCTION, exchange->on_body);
    SET(CURLOPT_WRITEDATA, exchange->context);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, exchange->on_progress);
    SET(CURLOPT_XFERINFODATA, exchange->context);
    struct pipe_guard guard;
    block_broken_pipe(&guard);
    CURLcode code = curl_easy_perform(handle);
    unblock_broken_pipe(&guard);
    return (int)code;
}

int hfj_curl_ask_local(void *handle, const struct hfj_local_request *request, long *status) {
    *status = 0;
    curl_easy_reset(handle);
    CURLcode restricted = restrict_protocols(handle);
    if (restricted) return (int)restricted;
    SET(CURLOPT_UNIX_SOCKET_PATH, request->socket_path);
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TIMEOUT_MS, request->milliseconds);
    if (request->body) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_length);
        SET(CURLOPT_POSTFIELDS, request->body);
    }
    SET(CURLOPT_CUSTOMREQUEST, request->method);
    SET(CURLOPT_WRITEFUNCTION, request->on_body);
    SET(CURLOPT_WRITEDATA, request->context);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, request->on_progress);
    SET(CURLOPT_XFERINFODATA, request->context);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (!headers) return (int)CURLE_OUT_OF_MEMORY;
    CURLcode code = curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    if (!code) {
        struct pipe_guard guard;
        block_broken_pipe(&guard);
        code = curl_easy_perform(handle);
        unblock_broken_pipe(&guard);
        curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, status);
    }
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    return (int)code;
}

void hfj_curl_destroy(void *handle) {
    struct pipe_guard guard;
    block_broken_pipe(&guard);
    curl_easy_cleanup(handle);
    unblock_broken_pipe(&guard);
}
