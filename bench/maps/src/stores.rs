//! The stores that can be measured.

mod dashmap;
mod papaya;
mod shf;

pub use self::dashmap::DashStore;
pub use self::papaya::PapayaStore;
pub use self::shf::ShfStore;

#[cfg(test)]
mod tests;
