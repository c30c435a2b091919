import ArgumentParser

/// The program's exit codes, in the numbers of sysexits.h where there is one.
enum ExitStatus: Int32 {
    case good = 0
    /// Checked, and something is wrong.
    case found = 1
    case usage = 64
    /// Data that cannot be understood.
    case data = 65
    /// No such cache or target.
    case absent = 66
    /// No daemon, or the Hub cannot be reached.
    case unavailable = 69
    case cannotWrite = 73
    case cannotRead = 74
    /// Busy, in use or in flight: try later.
    case busy = 75
    case permission = 77
    /// The policy file is wrong, or does not allow it.
    case policy = 78
    /// 128 and the signal's number, as shells count: see `Interruption.exitCode`.
    case interrupted = 130

    var asError: ExitCode { ExitCode(rawValue) }

    /// The help text's table, the same for every command.
    static let table = """
        Exit status: 0 good; 1 checked, and something is wrong; 64 usage; 66 no such cache or target; 73 cannot write; 74 cannot read; \
        75 being fetched, try later; 77 permission; 78 policy file wrong.
        """
}

/// A failure that ends a command: what happened, to what, and what can be done.
struct CommandFailure: Error {
    var status: ExitStatus
    var message: String
}
