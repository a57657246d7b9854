import Foundation

#if canImport(UIKit) && !os(watchOS)
    import UIKit
#elseif canImport(AppKit)
    import AppKit
#endif

/// What happens to an app and concerns an engine.
public enum AppChange: Sendable, Equatable {
    /// The system wants memory back.
    case memoryWarning
    /// The app goes to the background, where the system allows no GPU work.
    case background
    /// The app is coming back.
    case foreground
}

extension Engine {
    /// Does what a change of the app asks for: trims, suspends, or resumes.
    ///
    /// Where the system tells (UIKit, AppKit), an engine hears of it by itself, unless
    /// ``EngineOptions/followsAppLifecycle`` is off; elsewhere the app calls this.
    public func adapt(to change: AppChange) async {
        // Nobody waits for the outcome: an engine that was closed has nothing to give back, and one that is not idle in
        // time stays suspended, so nothing more is sent to the device.
        switch change {
        case .memoryWarning: _ = try? await trim()
        case .background: try? await suspend()
        case .foreground: try? resume()
        }
    }
}

/// The subscription of one engine to the changes of its app.
final class AppLifecycle: @unchecked Sendable {
    // Sendable: everything is set in `init` and not touched again before `deinit`.
    private let report: @Sendable (AppChange) async -> Void
    private var observers: [any NSObjectProtocol] = []
    #if canImport(Darwin)
        private var pressure: (any DispatchSourceMemoryPressure)?
    #endif

    init(report: @escaping @Sendable (AppChange) async -> Void) {
        self.report = report
        #if canImport(UIKit) && !os(watchOS)
            observe(UIApplication.didReceiveMemoryWarningNotification, .memoryWarning)
            observe(UIApplication.willEnterForegroundNotification, .foreground)
            observeBackground()
        #elseif canImport(AppKit)
            // A Mac lets apps compute in the background; only memory is short there.
            let source = DispatchSource.makeMemoryPressureSource(eventMask: [.warning, .critical], queue: .global())
            source.setEventHandler { Task { await report(.memoryWarning) } }
            source.activate()
            pressure = source
        #endif
    }

    deinit {
        observers.forEach(NotificationCenter.default.removeObserver)
        #if canImport(Darwin)
            pressure?.cancel()
        #endif
    }

    private func observe(_ name: Notification.Name, _ change: AppChange) {
        let report = self.report
        observers.append(
            NotificationCenter.default.addObserver(forName: name, object: nil, queue: nil) { _ in
                Task { await report(change) }
            })
    }

    #if canImport(UIKit) && !os(watchOS)
        /// Asks the system for the time that it takes until the device is idle.
        private func observeBackground() {
            let report = self.report
            let name = UIApplication.didEnterBackgroundNotification
            observers.append(
                NotificationCenter.default.addObserver(forName: name, object: nil, queue: .main) { _ in
                    // At once: after this returns the system may stop the app.
                    let task = MainActor.assumeIsolated { UIApplication.shared.beginBackgroundTask() }
                    Task { @MainActor in
                        await report(.background)
                        UIApplication.shared.endBackgroundTask(task)
                    }
                })
        }
    #endif
}
