// The part of UIKit that PocketMLX uses, so that the code for iOS can be type-checked where UIKit is not. Declarations
// only: nothing here is linked or shipped.

import Foundation

@MainActor open class UIApplication: NSObject {
    public nonisolated static let didEnterBackgroundNotification = Notification.Name("didEnterBackground")
    public nonisolated static let didReceiveMemoryWarningNotification = Notification.Name("didReceiveMemoryWarning")
    public nonisolated static let willEnterForegroundNotification = Notification.Name("willEnterForeground")

    public static var shared: UIApplication { fatalError("a stub") }

    public func beginBackgroundTask(expirationHandler: (@MainActor @Sendable () -> Void)? = nil)
        -> UIBackgroundTaskIdentifier
    { fatalError("a stub") }

    public func endBackgroundTask(_ identifier: UIBackgroundTaskIdentifier) {}
}

public struct UIBackgroundTaskIdentifier: Hashable, Sendable {}
