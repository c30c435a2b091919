// libcurl's variadic calls and macros, as functions that Swift can import.
#ifndef HFJ_CCURL_H
#define HFJ_CCURL_H

#include <curl/curl.h>

#endif
