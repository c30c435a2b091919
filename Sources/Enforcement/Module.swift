// Begun: see ARCHITECTURE.md.
enum EnforcementModule {}
