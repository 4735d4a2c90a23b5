//! Discovery of equations by either method on synthetic systems whose equations are known, and on
//! real data.

mod joint;
mod network;
mod systems;
