int hfj_crypto_placeholder(void);
