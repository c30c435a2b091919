// Begun: see ARCHITECTURE.md.
enum InUseModule {}
