import Testing

@Suite struct InUseModuleTests {}
