#ifndef CFUZZER_H
#define CFUZZER_H

// Runs libFuzzer's own command line on LLVMFuzzerTestOneInput.
int fuzzer_main(int argc, char *_Nullable *_Nonnull argv);

#endif
