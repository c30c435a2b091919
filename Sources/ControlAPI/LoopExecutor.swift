internal import NIOCore

/// Runs tasks on the thread of an event loop. The tasks of a server need no pool of threads besides, whose keeper would wake up
/// every second for as long as the process lives.
final class LoopExecutor: TaskExecutor {
    private let loop: any EventLoop

    private init(_ loop: any EventLoop) { self.loop = loop }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.execute { unsafe job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }

    /// Begins the one task that all others of a server are children of, on the thread of a loop.
    static func begin<Result: Sendable>(
        on loop: any EventLoop, _ work: @escaping @Sendable () async throws -> Result
    ) -> EventLoopFuture<Result> {
        let promise = loop.makePromise(of: Result.self)
        Task(executorPreference: LoopExecutor(loop)) {
            do { promise.succeed(try await work()) } catch { promise.fail(error) }
        }
        return promise.futureResult
    }
}
