import Testing

@Suite struct PolicyFileModuleTests {}
