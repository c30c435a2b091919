int hfj_placeholder(void); int hfj_placeholder(void) { return 0; }
