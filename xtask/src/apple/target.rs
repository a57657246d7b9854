//! The systems that a framework is built for.

/// One slice of the framework.
pub struct Target {
    /// Rust's name.
    pub triple: &'static str,
    /// Apple's name of the processor.
    pub architecture: &'static str,
    /// The folder in the xcframework.
    pub slice: &'static str,
    /// `LC_BUILD_VERSION`'s number of the platform.
    pub platform: u32,
    /// The platform's name in Info.plist.
    pub supported_platform: &'static str,
    /// The oldest system.
    pub minimum: &'static str,
    /// The variable that tells compilers so.
    pub deployment: &'static str,
    /// The features of the crate: Metal's MLX where there is Metal.
    pub features: &'static str,
}

/// Macs with Apple silicon.
pub const MACOS: Target = Target {
    triple: "aarch64-apple-darwin",
    architecture: "arm64",
    slice: "macos-arm64",
    platform: 1,
    supported_platform: "MacOSX",
    minimum: "14.0",
    deployment: "MACOSX_DEPLOYMENT_TARGET",
    features: "mlx,demo",
};

/// iPhones and iPads.
pub const IOS: Target = Target {
    triple: "aarch64-apple-ios",
    architecture: "arm64",
    slice: "ios-arm64",
    platform: 2,
    supported_platform: "iPhoneOS",
    minimum: "17.0",
    deployment: "IPHONEOS_DEPLOYMENT_TARGET",
    features: "mlx,demo",
};

/// The simulator on a Mac with Apple silicon. MLX does not run in it, the CPU backend does.
pub const IOS_SIMULATOR: Target = Target {
    triple: "aarch64-apple-ios-sim",
    architecture: "arm64",
    slice: "ios-arm64_x86_64-simulator",
    platform: 7,
    supported_platform: "iPhoneSimulator",
    minimum: "17.0",
    deployment: "IPHONEOS_DEPLOYMENT_TARGET",
    features: "demo",
};
