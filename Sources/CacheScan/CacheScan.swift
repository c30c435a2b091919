// CacheScan
