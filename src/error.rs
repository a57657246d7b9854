//! The one error type of the library: a code, what happened with the values involved, and what to do about it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Shorthand for results of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is. The numbers are those of `include/pocketmlx.h` and are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum Code {
    /// No error.
    Ok = 0,
    /// An argument, option or request is malformed or out of range.
    InvalidArgument = 1,
    /// A file, folder or model does not exist.
    NotFound = 2,
    /// The request or model needs something that this build cannot do; the message names it.
    Unsupported = 3,
    /// The prompt does not fit into the model's context.
    ContextOverflow = 4,
    /// The session is already generating.
    Busy = 5,
    /// The operation was cancelled.
    Cancelled = 6,
    /// The engine is suspended.
    Suspended = 7,
    /// Reading or writing failed.
    Io = 20,
    /// A file's content is not what its format asks for.
    CorruptFile = 21,
    /// A transfer failed.
    Network = 22,
    /// Over the memory budget, or the device has no memory left.
    OutOfMemory = 40,
    /// The device failed and its state is lost.
    DeviceLost = 41,
    /// The system refuses GPU work because the app is in the background.
    Background = 42,
    /// A bug in this library: a caught panic or a broken invariant.
    Internal = 60,
}

impl Code {
    /// The name in the C header without its `PMLX_` prefix, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::Unsupported => "unsupported",
            Self::ContextOverflow => "context_overflow",
            Self::Busy => "busy",
            Self::Cancelled => "cancelled",
            Self::Suspended => "suspended",
            Self::Io => "io",
            Self::CorruptFile => "corrupt_file",
            Self::Network => "network",
            Self::OutOfMemory => "out_of_memory",
            Self::DeviceLost => "device_lost",
            Self::Background => "background",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failure: its [`Code`], a message that names the values involved, and a hint (possibly empty).
///
/// Cheap to clone, because a generation that failed gives the same error again on every later call.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    code: Code,
    message: Arc<str>,
    hint: Arc<str>,
}

impl Error {
    /// An error without a hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into().into(), hint: "".into() }
    }

    /// The same error with advice on what to do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into().into();
        self
    }

    /// The same error with `context: ` put before its message.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message).into();
        self
    }

    /// The kind of failure.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What happened, with the values involved.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, or `""`.
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// [`Code::InvalidArgument`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// [`Code::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Code::Unsupported, message)
    }

    /// [`Code::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message).with_hint("this is a bug in PocketMLX; please report it with this message")
    }

    /// [`Code::OutOfMemory`].
    pub fn out_of_memory(message: impl Into<String>) -> Self {
        Self::new(Code::OutOfMemory, message)
    }

    /// [`Code::Cancelled`].
    pub fn cancelled() -> Self {
        Self::new(Code::Cancelled, "cancelled")
    }

    /// [`Code::CorruptFile`] with the file's name before the message.
    pub fn corrupt(file: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self::new(Code::CorruptFile, format!("{file}: {message}"))
    }

    /// [`Code::NotFound`] or [`Code::Io`] for a failed operation on a file.
    pub fn io(path: &Path, error: &std::io::Error) -> Self {
        let code = match error.kind() {
            std::io::ErrorKind::NotFound => Code::NotFound,
            std::io::ErrorKind::OutOfMemory => Code::OutOfMemory,
            _ => Code::Io,
        };
        Self::new(code, format!("{}: {error}", path.display()))
    }
}
