// What Swift cannot call of SQLite, because it takes a variable number of arguments.
#ifndef HFJ_CSQLITE_H
#define HFJ_CSQLITE_H

/// Has a connection (`sqlite3 *`) leave its write-ahead log where it is when it is closed, and the log's index untouched.
/// 0 or SQLite's error code.
int hfj_leave_log_on_close(void *_Nonnull connection);

#endif
