import Testing

@Suite struct EnforcementModuleTests {}
