import ArgumentParser

@main
struct HFJanitor: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "hfjanitor")
    func run() throws {
    }
}
