//! What mlx-rs has no safe or public name for.

use std::ffi::{CStr, c_int, c_void};

use mlx_rs::{Array, Stream};
use mlx_sys::{mlx_array, mlx_optional_int, mlx_stream};

use super::error::{self, Fault, Result};
use crate::arch::spec::{QuantizationFormat, QuantizationMode};
use crate::error::Error;
use crate::weights::{Dtype, TensorView};

/// A size as MLX counts.
pub(super) fn dim(size: usize) -> Result<i32> {
    i32::try_from(size)
        .map_err(|_| Fault(Error::unsupported(format!("a dimension of {size}: MLX counts to {}", i32::MAX))))
}

/// MLX's name of a stored number format.
pub(super) fn dtype(dtype: Dtype) -> mlx_rs::Dtype {
    match dtype {
        Dtype::F32 => mlx_rs::Dtype::Float32,
        Dtype::F16 => mlx_rs::Dtype::Float16,
        Dtype::Bf16 => mlx_rs::Dtype::Bfloat16,
        Dtype::U32 => mlx_rs::Dtype::Uint32,
        Dtype::U8 => mlx_rs::Dtype::Uint8,
    }
}

/// An array with a tensor's numbers: copied, except where the device can use the bytes in place.
pub(super) fn from_view(view: &TensorView) -> Result<Array> {
    let shape = view.shape.iter().map(|&n| dim(n)).collect::<Result<Vec<i32>>>()?;
    if view.bytes().is_empty() {
        return Err(Error::corrupt(&view.name, "the tensor is empty").into());
    }
    let data = view.bytes().as_ptr().cast_mut().cast::<c_void>();
    let owner = Box::into_raw(Box::new(view.clone())).cast::<c_void>();
    // SAFETY: the view's constructor checked that shape and dtype fit its bytes, which `owner` keeps alive until MLX
    // calls `release`. MLX doesn't write to them: a buffer is only written to by an operation that is its last user,
    // and loading uses these as inputs of operations whose outputs have another size.
    let array = unsafe {
        let dims = shape.len() as c_int;
        let dtype = dtype(view.dtype).into();
        mlx_sys::mlx_array_new_data_managed_payload(data, shape.as_ptr(), dims, dtype, owner, Some(release))
    };
    owned(array)
}

/// Frees what [`from_view`] made; on whatever thread MLX drops the buffer, which [`TensorView`] allows.
unsafe extern "C" fn release(owner: *mut c_void) {
    // SAFETY: MLX passes the pointer that it was given, once.
    drop(unsafe { Box::from_raw(owner.cast::<TensorView>()) });
}

/// `array[start..stop]` in each dimension, without a copy.
pub(super) fn slice(array: &Array, start: &[i32], stop: &[i32]) -> Result<Array> {
    let strides = vec![1; start.len()];
    operation(|result, stream| {
        let (n, array) = (start.len(), array.as_ptr());
        // SAFETY: pointers and lengths are those of slices; MLX checks them against the array's shape.
        unsafe {
            let (start, stop, strides) = (start.as_ptr(), stop.as_ptr(), strides.as_ptr());
            mlx_sys::mlx_slice(result, array, start, n, stop, n, strides, n, stream)
        }
    })
}

/// `array` with `array[start..stop]` replaced: in place when nobody else holds the array once this is computed.
pub(super) fn slice_update(array: &Array, update: &Array, start: &[i32], stop: &[i32]) -> Result<Array> {
    let strides = vec![1; start.len()];
    operation(|result, stream| {
        let (n, array, update) = (start.len(), array.as_ptr(), update.as_ptr());
        // SAFETY: as in `slice`.
        unsafe {
            let (start, stop, strides) = (start.as_ptr(), stop.as_ptr(), strides.as_ptr());
            mlx_sys::mlx_slice_update(result, array, update, start, n, stop, n, strides, n, stream)
        }
    })
}

/// `array[.., range, ..]` along one axis, without a copy.
pub(super) fn slice_axis(array: &Array, axis: usize, range: std::ops::Range<usize>) -> Result<Array> {
    let mut stop = array.shape().to_vec();
    let mut start = vec![0; stop.len()];
    let (Some(first), Some(last)) = (start.get_mut(axis), stop.get_mut(axis)) else {
        return Err(Fault::internal(format!("axis {axis} of an array with {} dimensions", array.ndim())));
    };
    (*first, *last) = (dim(range.start)?, dim(range.end)?);
    slice(array, &start, &stop)
}

/// How a quantized matrix is stored; `biases` are those of affine groups.
pub(super) struct Packed<'a> {
    pub codes: &'a Array,
    pub scales: &'a Array,
    pub biases: Option<&'a Array>,
    pub format: QuantizationFormat,
}

impl Packed<'_> {
    /// Group size, bits and mode as MLX takes them.
    fn format(&self) -> Result<(mlx_optional_int, mlx_optional_int, &'static CStr)> {
        let some = |number: usize| Ok::<_, Fault>(mlx_optional_int { value: dim(number)?, has_value: true });
        let mode = match self.format.mode {
            QuantizationMode::Affine => c"affine",
            QuantizationMode::Mxfp4 => c"mxfp4",
            QuantizationMode::Mxfp8 => c"mxfp8",
            QuantizationMode::Nvfp4 => c"nvfp4",
        };
        Ok((some(self.format.group_size)?, some(self.format.bits)?, mode))
    }

    /// `x · Wᵀ`.
    pub fn matmul(&self, x: &Array) -> Result<Array> {
        self.product(x, true)
    }

    /// `x · Wᵀ`, or `x · W`.
    pub fn product(&self, x: &Array, transposed: bool) -> Result<Array> {
        if cfg!(not(target_vendor = "apple")) && transposed && self.biases.is_some() && self.is_beyond_cuda(x) {
            return Ok(x.matmul(self.dequantize(x.dtype())?.swap_axes(-1, -2)?)?);
        }
        let (group, bits, mode) = self.format()?;
        operation(|result, stream| {
            let (codes, scales, biases) = (self.codes.as_ptr(), self.scales.as_ptr(), optional(self.biases));
            // SAFETY: handles of arrays that live during the call, or the empty one; MLX checks their shapes.
            unsafe {
                let (x, mode) = (x.as_ptr(), mode.as_ptr());
                mlx_sys::mlx_quantized_matmul(result, x, codes, scales, biases, transposed, group, bits, mode, stream)
            }
        })
    }

    /// Whether MLX 0.32.2's kernel for Hopper reads beside the scales, as where a row is one group, or does not start, as
    /// with several rows of f32 and groups of 128. Up to 7 rows there is another one.
    fn is_beyond_cuda(&self, x: &Array) -> bool {
        let rows = x.shape().iter().rev().nth(1).copied().unwrap_or(1);
        self.scales.dim(-1) == 1 || self.format.group_size == 128 && x.dtype() == mlx_rs::Dtype::Float32 && rows > 7
    }

    /// `x · Wᵀ` with the matrix that `indices` names for each row, of a stack of matrices.
    pub fn gather_matmul(&self, x: &Array, indices: &Array, sorted: bool) -> Result<Array> {
        let (group, bits, mode) = self.format()?;
        operation(|result, stream| {
            let (codes, scales, biases) = (self.codes.as_ptr(), self.scales.as_ptr(), optional(self.biases));
            // SAFETY: as in `matmul`.
            unsafe {
                let (x, left, right, mode) = (x.as_ptr(), optional(None), indices.as_ptr(), mode.as_ptr());
                mlx_sys::mlx_gather_qmm(
                    result, x, codes, scales, biases, left, right, true, group, bits, mode, sorted, stream,
                )
            }
        })
    }

    /// The numbers in a float format.
    pub fn dequantize(&self, dtype: mlx_rs::Dtype) -> Result<Array> {
        let (group, bits, mode) = self.format()?;
        let dtype = mlx_sys::mlx_optional_dtype { value: dtype.into(), has_value: true };
        operation(|result, stream| {
            let (codes, scales, biases) = (self.codes.as_ptr(), self.scales.as_ptr(), optional(self.biases));
            // SAFETY: as in `matmul`.
            unsafe {
                let (mode, global) = (mode.as_ptr(), optional(None));
                mlx_sys::mlx_dequantize(result, codes, scales, biases, group, bits, mode, global, dtype, stream)
            }
        })
    }
}

/// `x · W` with the matrix that `indices` names for each row, of a stack of matrices.
pub(super) fn gather_matmul(x: &Array, matrices: &Array, indices: &Array, sorted: bool) -> Result<Array> {
    // What MLX 0.32.2 makes of sorted rows on CUDA is wrong; to say that they are sorted only saves time.
    let sorted = sorted && cfg!(target_vendor = "apple");
    operation(|result, stream| {
        // SAFETY: as in `Packed::matmul`.
        unsafe {
            let (x, left, right) = (x.as_ptr(), optional(None), indices.as_ptr());
            mlx_sys::mlx_gather_mm(result, x, matrices.as_ptr(), left, right, sorted, stream)
        }
    })
}

/// A handle, or the empty one that stands for none.
fn optional(array: Option<&Array>) -> mlx_array {
    // An empty handle is a null pointer and owns nothing.
    array.map_or(mlx_array { ctx: std::ptr::null_mut() }, Array::as_ptr)
}

/// Waits until the current device has nothing left to do.
pub(super) fn synchronize() -> Result<()> {
    // SAFETY: takes no arguments.
    error::check(unsafe { mlx_sys::mlx_synchronize_default() })
}

/// Whether the loaded libmlx can compute on the GPU.
pub(super) fn gpu_available() -> Result<bool> {
    let mut available = false;
    // SAFETY: `device` is freed right after its only use.
    error::check(unsafe {
        let device = mlx_sys::mlx_device_new_type(mlx_sys::mlx_device_type__MLX_GPU, 0);
        let status = mlx_sys::mlx_device_is_available(&mut available, device);
        mlx_sys::mlx_device_free(device);
        status
    })?;
    Ok(available)
}

fn operation(call: impl FnOnce(*mut mlx_array, mlx_stream) -> c_int) -> Result<Array> {
    let stream = Stream::thread_local_or_default();
    // SAFETY: an empty handle; it allocates nothing.
    let mut result = unsafe { mlx_sys::mlx_array_new() };
    error::check(call(&mut result, stream.as_ptr()))?;
    owned(result)
}

/// Takes a handle over, unless it is the empty one that mlx-c gives back when it failed.
fn owned(array: mlx_array) -> Result<Array> {
    if array.ctx.is_null() {
        return Err(error::last());
    }
    // SAFETY: nobody else has this handle.
    Ok(unsafe { Array::from_ptr(array) })
}
