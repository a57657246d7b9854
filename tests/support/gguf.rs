//! Writes GGUF files, well-formed or not.

/// The numbers of ggml's formats that tests write.
pub const F32: u32 = 0;
pub const F16: u32 = 1;
pub const Q4_0: u32 = 2;
pub const Q8_0: u32 = 8;

/// A file of version 3 under construction.
pub struct Writer {
    keys: Vec<u8>,
    key_count: u64,
    tensors: Vec<Tensor>,
    alignment: usize,
}

struct Tensor {
    name: String,
    /// Row-major.
    shape: Vec<usize>,
    block: u32,
    bytes: Vec<u8>,
    /// Whether its bytes are those of the tensor before.
    shared: bool,
}

/// A string as the format has it: length, then bytes.
pub fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text);
}

impl Writer {
    pub fn new() -> Self {
        Self { keys: Vec::new(), key_count: 0, tensors: Vec::new(), alignment: 32 }
    }

    /// The same with tensors at multiples of another number of bytes; the key that says so is the caller's.
    pub fn aligned(mut self, alignment: usize) -> Self {
        self.alignment = alignment.max(1);
        self
    }

    /// A value of any type from its bytes.
    pub fn value(&mut self, key: &str, kind: u32, bytes: &[u8]) {
        put_string(&mut self.keys, key.as_bytes());
        self.keys.extend(kind.to_le_bytes());
        self.keys.extend(bytes);
        self.key_count += 1;
    }

    pub fn u32(&mut self, key: &str, value: u32) {
        self.value(key, 4, &value.to_le_bytes());
    }

    pub fn f32(&mut self, key: &str, value: f32) {
        self.value(key, 6, &value.to_le_bytes());
    }

    pub fn bool(&mut self, key: &str, value: bool) {
        self.value(key, 7, &[value.into()]);
    }

    pub fn string(&mut self, key: &str, value: &str) {
        let mut bytes = Vec::new();
        put_string(&mut bytes, value.as_bytes());
        self.value(key, 8, &bytes);
    }

    fn array(&mut self, key: &str, kind: u32, len: usize, items: Vec<u8>) {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend((len as u64).to_le_bytes());
        bytes.extend(items);
        self.value(key, 9, &bytes);
    }

    pub fn strings<T: AsRef<[u8]>>(&mut self, key: &str, values: &[T]) {
        let mut items = Vec::new();
        for value in values {
            put_string(&mut items, value.as_ref());
        }
        self.array(key, 8, values.len(), items);
    }

    pub fn f32s(&mut self, key: &str, values: &[f32]) {
        self.array(key, 6, values.len(), values.iter().flat_map(|value| value.to_le_bytes()).collect());
    }

    pub fn i32s(&mut self, key: &str, values: &[i32]) {
        self.array(key, 5, values.len(), values.iter().flat_map(|value| value.to_le_bytes()).collect());
    }

    /// A tensor of a row-major shape, in blocks of ggml's format `block`.
    pub fn tensor(&mut self, name: &str, shape: &[usize], block: u32, bytes: Vec<u8>) {
        self.tensors.push(Tensor { name: name.into(), shape: shape.into(), block, bytes, shared: false });
    }

    /// Lets the last tensor lie where the one before it does.
    pub fn overlap(&mut self) {
        self.tensors.last_mut().unwrap().shared = true;
    }

    pub fn finish(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend(self.key_count.to_le_bytes());
        out.extend(&self.keys);
        let (mut data, mut last) = (Vec::new(), 0);
        for tensor in &self.tensors {
            put_string(&mut out, tensor.name.as_bytes());
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            out.extend(tensor.shape.iter().rev().flat_map(|&size| (size as u64).to_le_bytes()));
            out.extend(tensor.block.to_le_bytes());
            if !tensor.shared {
                data.resize(data.len().next_multiple_of(self.alignment), 0);
                last = data.len();
                data.extend(&tensor.bytes);
            }
            out.extend((last as u64).to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        out.extend(data);
        out
    }
}
