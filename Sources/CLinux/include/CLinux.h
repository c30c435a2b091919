int hfj_placeholder(void);
