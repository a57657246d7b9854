//! The C ABI's log in a process that has a `tracing` subscriber of its own.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use tracing::subscriber::{NoSubscriber, set_global_default};

unsafe extern "C" {
    fn pmlx_set_log(
        level: i32,
        callback: Option<unsafe extern "C" fn(*mut c_void, i32, *const c_char, usize)>,
        user_data: *mut c_void,
        destroy: Option<unsafe extern "C" fn(*mut c_void)>,
    ) -> *mut c_void;
    fn pmlx_error_code(error: *const c_void) -> i32;
    fn pmlx_error_message(error: *const c_void) -> *const c_char;
    fn pmlx_error_free(error: *mut c_void);
}

unsafe extern "C" fn ignore(_: *mut c_void, _: i32, _: *const c_char, _: usize) {}

unsafe extern "C" fn count(user_data: *mut c_void) {
    unsafe { *user_data.cast::<u32>() += 1 }
}

#[test]
fn another_subscriber_is_left_alone() {
    // What links this library into the test.
    assert!(!pocketmlx::VERSION.is_empty());
    set_global_default(NoSubscriber::default()).unwrap();
    let mut destroyed = 0_u32;
    unsafe {
        let error = pmlx_set_log(3, Some(ignore), (&raw mut destroyed).cast(), Some(count));
        assert_eq!(pmlx_error_code(error), pocketmlx::Code::Busy as i32);
        assert!(CStr::from_ptr(pmlx_error_message(error)).to_str().unwrap().contains("subscriber"));
        pmlx_error_free(error);
        assert_eq!(destroyed, 1);
        // Off is off already.
        assert!(pmlx_set_log(0, None, ptr::null_mut(), None).is_null());
    }
}
