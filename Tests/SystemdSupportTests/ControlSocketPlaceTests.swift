import HubCache
import SystemdSupport
import Testing

@Suite struct ControlSocketPlaceTests {
    @Test func theFirstThatAppliesComesFirst() {
        let environment = ["XDG_RUNTIME_DIR": "/run/user/7"]
        #expect(BytePath.controlSockets(named: "a", environment: environment, unitOf: "ada") == ["a"])
        #expect(
            BytePath.controlSockets(named: nil, environment: ["HFJANITOR_SOCKET": "/b"], unitOf: "ada") == ["/b"])
        #expect(
            BytePath.controlSockets(named: nil, environment: environment, unitOf: "ada") == [
                "/run/user/7/hfjanitor/control.sock", "/run/hfjanitor@ada/control.sock", "/run/hfjanitor/control.sock",
            ])
        // A daemon of one's own listens at none of a unit's.
        #expect(BytePath.controlSockets(named: nil, environment: [:]) == ["/run/hfjanitor/control.sock"])
        #expect(
            BytePath.controlSockets(named: nil, environment: ["XDG_RUNTIME_DIR": "x"], unitOf: "../x") == [
                "/run/hfjanitor/control.sock"
            ])
    }
}
