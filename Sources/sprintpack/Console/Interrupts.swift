import Files
import Glibc

/// Ctrl-C, SIGTERM and SIGHUP: temporaries go, and the exit code is 130.
enum Interrupts {
    /// Blocks the signals in this thread, and so in all threads started later, and waits for them in one of its own: what
    /// runs there may take locks and free memory, as a signal handler may not. Called once, before anything else starts a thread.
    static func install() {
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)  // a file-size limit is then an error of write(), with a message
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        for number in [SIGINT, SIGTERM, SIGHUP] { unsafe sigaddset(&signals, number) }
        unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
        var thread = pthread_t()
        let result = unsafe pthread_create(
            &thread, nil,
            { _ in
                var signals = sigset_t()
                unsafe sigemptyset(&signals)
                for number in [SIGINT, SIGTERM, SIGHUP] { unsafe sigaddset(&signals, number) }
                var number: Int32 = 0
                unsafe sigwait(&signals, &number)
                ProgressBar.eraseIfIdle()
                TemporaryFiles.removeAll(thenExit: ExitStatus.interrupted.rawValue)
            }, nil)
        precondition(result == 0, "no thread for signals")
    }
}
