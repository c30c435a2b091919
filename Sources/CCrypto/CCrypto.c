#include "CCrypto.h"
int hfj_crypto_placeholder(void) { return 0; }
