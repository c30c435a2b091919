// Begun: see ARCHITECTURE.md.
enum PolicyFileModule {}
