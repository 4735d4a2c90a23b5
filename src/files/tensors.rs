//! Safetensors files: the encoding, decoding and writing of arrays.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use super::atomic;
use crate::{Real, Result};

/// A function that writes the bytes of an array.
type Encoder<'a> = dyn Fn(&mut dyn Write) -> io::Result<()> + 'a;

/// A named array with what writes the bytes that represent it in a file: they are made on the way to
/// the file, so that writing takes no memory.
pub(crate) struct Tensor<'a> {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    /// Number of bytes.
    size: usize,
    write: Box<Encoder<'a>>,
}

impl<'a> Tensor<'a> {
    /// Makes a tensor of values, which must be as many as the shape asks for.
    pub fn of<T: Real>(name: impl Into<String>, shape: &[usize], values: &'a [T]) -> Self {
        let dtype = dtype::<T>();
        let write = move |out: &mut dyn Write| match dtype {
            Dtype::F64 => encode(out, values, |value| value.to_double().to_le_bytes()),
            _ => encode(out, values, |value| (value.to_double() as f32).to_le_bytes()),
        };
        let (shape, write) = (shape.to_vec(), Box::new(write));
        Tensor { name: name.into(), dtype, shape, size: size_of_val(values), write }
    }

    /// Makes a tensor of rank 0 of a whole number.
    pub fn count(name: impl Into<String>, count: u64) -> Self {
        let write = Box::new(move |out: &mut dyn Write| out.write_all(&count.to_le_bytes()));
        Tensor { name: name.into(), dtype: Dtype::U64, shape: vec![], size: 8, write }
    }

    /// Makes a tensor of small whole numbers, one byte each.
    pub fn bytes(name: &str, shape: &[usize], bytes: Vec<u8>) -> Self {
        let size = bytes.len();
        let write = Box::new(move |out: &mut dyn Write| out.write_all(&bytes));
        Tensor { name: name.into(), dtype: Dtype::U8, shape: shape.to_vec(), size, write }
    }
}

/// Returns the type of `T` in a file, F64 or F32.
pub(crate) fn dtype<T: Real>() -> Dtype {
    if T::NAME == "f64" { Dtype::F64 } else { Dtype::F32 }
}

fn encode<T: Real, const WIDTH: usize>(
    out: &mut dyn Write,
    values: &[T],
    number: impl Fn(T) -> [u8; WIDTH],
) -> io::Result<()> {
    values.iter().try_for_each(|value| out.write_all(&number(*value)))
}

/// Decodes the numbers of a tensor of F64, F32, F16 or BF16; returns `None` for another type.
pub(crate) fn decode<T: Real>(tensor: &TensorView) -> Option<Vec<T>> {
    fn numbers<const WIDTH: usize, T: Real>(
        bytes: &[u8],
        number: impl Fn([u8; WIDTH]) -> f64,
    ) -> Option<Vec<T>> {
        let (chunks, _) = bytes.as_chunks::<WIDTH>();
        Some(chunks.iter().map(|chunk| T::of(number(*chunk))).collect())
    }
    match tensor.dtype() {
        Dtype::F64 => numbers(tensor.data(), f64::from_le_bytes),
        Dtype::F32 => numbers(tensor.data(), |bytes| f32::from_le_bytes(bytes).into()),
        Dtype::F16 => numbers(tensor.data(), |bytes| f16::from_le_bytes(bytes).into()),
        Dtype::BF16 => numbers(tensor.data(), |bytes| bf16::from_le_bytes(bytes).into()),
        _ => None,
    }
}

/// Writes a file with these tensors and metadata. The same contents give the same bytes; the writer
/// of the `safetensors` crate does not promise that, because its metadata come in the random order
/// of a hash map.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) when `path` cannot be written.
pub(crate) fn write(
    path: &Path,
    tensors: &[Tensor<'_>],
    metadata: &[(&str, String)],
) -> Result<()> {
    let metadata: BTreeMap<&str, &str> =
        metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), json!(metadata));
    // Wide numbers come first, so that all are aligned.
    let mut order: Vec<&Tensor<'_>> = tensors.iter().collect();
    order.sort_by_key(|tensor| std::cmp::Reverse(tensor.dtype));
    let mut offset = 0;
    for tensor in &order {
        let end = offset + tensor.size;
        let entry =
            json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [offset, end]});
        header.insert(tensor.name.clone(), entry);
        offset = end;
    }
    let mut header = Value::Object(header).to_string();
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    atomic::write(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        order.iter().try_for_each(|tensor| (tensor.write)(file))
    })
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    #[test]
    fn files_are_read_back_and_reproducible() {
        let folder = tempfile::tempdir().unwrap();
        let written = |name: &str| {
            let path = folder.path().join(name);
            let tensors = [
                Tensor::bytes("c", &[3], vec![1, 2, 3]),
                Tensor::of("a", &[1, 2], &[0.5f64, f64::NAN]),
                Tensor::of("b", &[0, 2], &[] as &[f32]),
            ];
            let metadata = ["one", "two", "three", "four"].map(|key| (key, format!("{key} \"é\"")));
            write(&path, &tensors, &metadata).unwrap();
            std::fs::read(path).unwrap()
        };
        let bytes = written("1");
        assert_eq!(bytes, written("2"));
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["three"], "three \"é\"");
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let a = file.tensor("a").unwrap();
        assert_eq!((a.dtype(), a.shape()), (Dtype::F64, &[1, 2][..]));
        assert_eq!(a.data()[..8], 0.5f64.to_le_bytes());
        assert_eq!(file.tensor("b").unwrap().shape(), [0, 2]);
        assert_eq!(file.tensor("c").unwrap().data(), [1, 2, 3]);
    }
}
