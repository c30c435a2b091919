import Testing

@Suite struct HubClientModuleTests {}
