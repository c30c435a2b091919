// libcurl's variadic calls and macros, as functions that Swift can import.
#ifndef HFJ_CCURL_H
#define HFJ_CCURL_H

#include <curl/curl.h>
#include <stddef.h>

/// One HTTP exchange, as libcurl is told about it. The strings and the list are borrowed until it is over.
struct hfj_exchange {
    /// An absolute http or https URL.
    const char *_Nonnull url;
    const char *_Nonnull user_agent;
    /// Request headers; NULL for none besides libcurl's own.
    struct curl_slist *_Nullable headers;
    /// A file or a folder of certificates to trust in place of the system's.
    const char *_Nullable certificate_file;
    const char *_Nullable certificate_folder;
    /// Asks for the headers alone.
    int is_head;
    /// Posts `body`, of `body_length` bytes.
    int is_post;
    const void *_Nullable body;
    size_t body_length;
    /// Goes to the host itself, whatever proxy the environment names.
    int bypasses_proxy;
    long connect_milliseconds;
    /// Called once for every header line; anything but `size * count` ends the exchange.
    curl_write_callback _Nonnull on_header;
    /// Called for every piece of the body; anything but `size * count` ends the exchange.
    curl_write_callback _Nonnull on_body;
    /// Called about once a second, more often while something moves; anything but 0 ends the exchange.
    curl_xferinfo_callback _Nonnull on_progress;
    /// What the three get as their own argument.
    void *_Nonnull context;
};

/// curl_global_init(3). 0 or a CURLcode.
int hfj_curl_initialize(void);

/// Runs an exchange on an easy handle and waits for its end. The handle's connections are kept for the next. 0 or a CURLcode.
///
/// No redirect is followed, no cookie kept, no .netrc read, no content decoded; only http and https; certificates are checked.
int hfj_curl_perform(void *_Nonnull handle, const struct hfj_exchange *_Nonnull exchange);

/// A request to a server that listens at a Unix socket on this machine. All is borrowed until it is over.
struct hfj_local_request {
    const char *_Nonnull socket_path;
    const char *_Nonnull url;
    const char *_Nonnull method;
    /// NULL for none.
    const char *_Nullable body;
    size_t body_length;
    /// For the whole; 0 for no limit.
    long milliseconds;
    /// Called for every piece of the answer's body; anything but `size * count` ends the exchange.
    curl_write_callback _Nonnull on_body;
    /// Called about once a second; anything but 0 ends the exchange.
    curl_xferinfo_callback _Nonnull on_progress;
    void *_Nonnull context;
};

/// Runs a request and waits for its end. 0 or a CURLcode.
///
/// - Parameter status: the answer's status; 0 without one.
int hfj_curl_ask_local(
    void *_Nonnull handle, const struct hfj_local_request *_Nonnull request, long *_Nonnull status);

/// curl_easy_cleanup(3).
void hfj_curl_destroy(void *_Nonnull handle);

#endif
