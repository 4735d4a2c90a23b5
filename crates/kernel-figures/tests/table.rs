//! The checked-in table of the kernels' figures holds: no kernel spills, nothing got worse.

#[test]
fn no_kernel_spills_and_no_figure_is_worse_than_docs_kernels_md_states() {
    kernel_figures::check().unwrap_or_else(|complaints| panic!("\n{complaints}"));
}
