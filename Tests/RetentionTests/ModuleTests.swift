import Testing

@Suite struct RetentionModuleTests {}
