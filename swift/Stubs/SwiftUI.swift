// What PocketChat uses of SwiftUI, so that its views can be type-checked on Linux. Nothing of it runs, and it is never
// shipped.

import Foundation

@MainActor @preconcurrency public protocol View {
    associatedtype Body: View
    @ViewBuilder var body: Body { get }
}

extension Never: View {
    public var body: Never { fatalError() }
}

/// Every view and every modified view of the stub.
public struct AnyStub: View {
    public var body: Never { fatalError() }
}

public struct TupleView<Views>: View {
    public var body: Never { fatalError() }
}

@resultBuilder public enum ViewBuilder {
    public static func buildBlock<Content: View>(_ content: Content) -> Content { content }
    public static func buildBlock<each Content: View>(
        _ content: repeat each Content
    ) -> TupleView<(repeat each Content)> { fatalError() }
    public static func buildIf<Content: View>(_ content: Content?) -> Content? { fatalError() }
    public static func buildEither<First: View>(first: First) -> AnyStub { fatalError() }
    public static func buildEither<Second: View>(second: Second) -> AnyStub { fatalError() }
}

extension Optional: View where Wrapped: View {
    public var body: Never { fatalError() }
}

@MainActor @preconcurrency public protocol Scene {}

@MainActor @preconcurrency public protocol App {
    associatedtype Body: Scene
    var body: Body { get }
    init()
}

extension App {
    public static func main() { fatalError() }
}

public struct WindowGroup<Content: View>: Scene {
    public init(@ViewBuilder content: () -> Content) { fatalError() }
}

@propertyWrapper public struct State<Value> {
    public init(wrappedValue: Value) { fatalError() }
    public var wrappedValue: Value {
        get { fatalError() }
        nonmutating set { fatalError() }
    }
    public var projectedValue: Binding<Value> { fatalError() }
}

@propertyWrapper public struct Binding<Value> {
    public init() {}
    public var wrappedValue: Value {
        get { fatalError() }
        nonmutating set { fatalError() }
    }
}

@propertyWrapper public struct Bindable<Value: AnyObject> {
    public init(wrappedValue: Value) { fatalError() }
    public var wrappedValue: Value
}

@propertyWrapper public struct Environment<Value> {
    public init(_ path: KeyPath<EnvironmentValues, Value>) { fatalError() }
    public var wrappedValue: Value { fatalError() }
}

public struct EnvironmentValues {
    public var dismiss: DismissAction { fatalError() }
}

@MainActor @preconcurrency public struct DismissAction {
    public func callAsFunction() {}
}

public enum HorizontalAlignment { case leading, center, trailing }
public enum Alignment { case leading, center, trailing }
public enum UnitPoint { case top, bottom }
public enum Font { case footnote }
public enum ShapeStyle { case red, quaternary }
public enum Shape { case rect(cornerRadius: Double) }
public enum TextSelectability { case enabled, disabled }
public struct EdgeSet: OptionSet, Sendable {
    public let rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }
    public static let horizontal = EdgeSet(rawValue: 1)
    public static let all = EdgeSet(rawValue: 3)
}
public struct ContentType: Sendable {
    public static let folder = ContentType()
}

public struct VStack: View {
    public init(
        alignment: HorizontalAlignment = .center, spacing: Double? = nil, @ViewBuilder content: () -> some View
    ) { fatalError() }
    public var body: Never { fatalError() }
}

public struct LazyVStack: View {
    public init(
        alignment: HorizontalAlignment = .center, spacing: Double? = nil, @ViewBuilder content: () -> some View
    ) { fatalError() }
    public var body: Never { fatalError() }
}

public struct HStack: View {
    public init(@ViewBuilder content: () -> some View) { fatalError() }
    public var body: Never { fatalError() }
}

public struct ScrollView: View {
    public init(@ViewBuilder content: () -> some View) { fatalError() }
    public var body: Never { fatalError() }
}

public struct ForEach: View {
    public init<Data: RandomAccessCollection>(_ data: Data, @ViewBuilder content: (Data.Element) -> some View)
    where Data.Element: Identifiable { fatalError() }
    public var body: Never { fatalError() }
}

public struct List: View {
    public init<Data: RandomAccessCollection>(_ data: Data, @ViewBuilder content: (Data.Element) -> some View)
    where Data.Element: Identifiable { fatalError() }
    public var body: Never { fatalError() }
}

public struct Text: View {
    public init(_ text: some StringProtocol) { fatalError() }
    public var body: Never { fatalError() }
}

public struct TextField: View {
    public init(_ title: some StringProtocol, text: Binding<String>) { fatalError() }
    public var body: Never { fatalError() }
}

public struct Button: View {
    public init(_ title: some StringProtocol, action: @escaping @MainActor () -> Void) { fatalError() }
    public init(action: @escaping @MainActor () -> Void, @ViewBuilder label: () -> some View) { fatalError() }
    public var body: Never { fatalError() }
}

public struct Gauge: View {
    public init(value: Double, @ViewBuilder label: () -> some View) { fatalError() }
    public var body: Never { fatalError() }
}

public struct ProgressView: View {
    public init(value: Double?) { fatalError() }
    public var body: Never { fatalError() }
}

extension View {
    public func padding(_ edges: EdgeSet = .all, _ length: Double? = nil) -> some View { AnyStub() }
    public func padding(_ length: Double) -> some View { AnyStub() }
    public func font(_ font: Font) -> some View { AnyStub() }
    public func foregroundStyle(_ style: ShapeStyle) -> some View { AnyStub() }
    public func background(_ style: ShapeStyle, in shape: Shape) -> some View { AnyStub() }
    public func frame(width: Double) -> some View { AnyStub() }
    public func frame(maxWidth: Double, alignment: Alignment) -> some View { AnyStub() }
    public func disabled(_ isDisabled: Bool) -> some View { AnyStub() }
    public func textSelection(_ selectability: TextSelectability) -> some View { AnyStub() }
    public func defaultScrollAnchor(_ anchor: UnitPoint) -> some View { AnyStub() }
    public func onSubmit(_ action: @escaping @MainActor () -> Void) -> some View { AnyStub() }
    public func toolbar(@ViewBuilder content: () -> some View) -> some View { AnyStub() }
    public func task(_ action: @escaping @MainActor @Sendable () async -> Void) -> some View { AnyStub() }
    public func sheet(isPresented: Binding<Bool>, @ViewBuilder content: @escaping () -> some View) -> some View {
        AnyStub()
    }
    public func fileImporter(
        isPresented: Binding<Bool>,
        allowedContentTypes: [ContentType],
        onCompletion: @escaping @MainActor (Result<URL, any Error>) -> Void
    ) -> some View { AnyStub() }
}

// Of Foundation on Apple's systems.
extension URL {
    public func startAccessingSecurityScopedResource() -> Bool { fatalError() }
    public func stopAccessingSecurityScopedResource() {}
}
