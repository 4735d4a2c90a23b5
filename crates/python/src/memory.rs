//! Arrays of Python by their addresses.

/// An array of Python: the address of its first number and how many there are. The module `lib`
/// says who vouches for both.
#[derive(Clone, Copy)]
pub struct Address(pub usize);

impl Address {
    /// Returns the array to read, of `count` numbers.
    pub fn read<'a, T>(self, count: usize) -> &'a [T] {
        if count == 0 {
            return &[];
        }
        // SAFETY: the caller in Python keeps the array alive during the call and has made it of
        // the shape that `count` was computed from.
        unsafe { std::slice::from_raw_parts(self.0 as *const T, count) }
    }

    /// Returns the array to write, of `count` numbers.
    pub fn write<'a, T>(self, count: usize) -> &'a mut [T] {
        if count == 0 {
            return &mut [];
        }
        // SAFETY: as above; the caller has made the array for this call, so that nobody else has
        // it.
        unsafe { std::slice::from_raw_parts_mut(self.0 as *mut T, count) }
    }

    /// Returns the address, or nothing for 0, which stands for an array that is not wanted.
    pub fn given(self) -> Option<Self> {
        (self.0 != 0).then_some(self)
    }
}
