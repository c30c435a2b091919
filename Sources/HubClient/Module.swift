// Begun: see ARCHITECTURE.md.
enum HubClientModule {}
