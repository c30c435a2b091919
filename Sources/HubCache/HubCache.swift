// HubCache
