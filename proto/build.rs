//! Compiles the contract with a protobuf compiler written in Rust, so that the build needs no protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = protox::compile(["kybern/v1/api.proto"], ["."])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), prost_encode(&files))?;
    tonic_prost_build::configure().bytes(".kybern.v1").compile_fds(files)?;
    println!("cargo:rerun-if-changed=kybern/v1/api.proto");
    Ok(())
}

fn prost_encode(files: &impl prost::Message) -> Vec<u8> {
    files.encode_to_vec()
}
