//! The taking apart of modules, which the library's build script does.

use super::ptx::{kernels, lower};

const MODULE: &str = "// made by hand\n.version 9.5\n.target sm_80\n\n.func square(\n)\n{\n\tret;\n}\n\
                      .visible .entry one(\n\t.param .u64 p\n)\n{\n\tret;\n}\n\n.global .u32 g;\n\
                      .visible .entry two(\n)\n{\n\t{\n\tret;\n\t}\n}\n";

#[test]
fn a_module_is_taken_apart_into_its_kernels() {
    let parts = kernels(MODULE).unwrap();
    let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    for (name, text) in &parts {
        assert_eq!(text.matches(".entry").count(), 1);
        assert!(text.contains(&format!(".entry {name}(")), "{text}");
        for shared in [".target sm_80", ".func square(", ".global .u32 g;"] {
            assert!(text.contains(shared), "{shared} is not in {text}");
        }
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }
    assert!(kernels(".visible .entry one(\n)\n{\n").unwrap_err().contains("one has no end"));
}

#[test]
fn the_version_is_lowered_and_never_raised() {
    assert!(lower(MODULE).unwrap().contains("\n.version 8.3\n"));
    assert!(lower(".version 7.0\n").unwrap().contains(".version 7.0\n"));
    assert!(lower(".version 8.10\n").unwrap().contains(".version 8.3\n"));
    for wrong in ["", ".version\n", ".version x.y\n"] {
        assert!(lower(wrong).is_err(), "{wrong:?}");
    }
}
