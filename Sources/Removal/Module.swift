// Begun: see ARCHITECTURE.md.
enum RemovalModule {}
