import Testing

@Suite struct RemovalModuleTests {}
