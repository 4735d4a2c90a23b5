#[path = "../tests/systems/mod.rs"]
#[allow(dead_code)]
mod systems;
use systems::*;
use mechanistic::discovery::*;
fn main(){
    let which=std::env::args().nth(1).unwrap();
    let mut st=Settings{method:Method::Network,..Default::default()};
    let (data,truth)=match which.as_str(){
      "linear"=>{st.degree=3;(with_noise(planar_linear(),0.01,0.0,1),PLANAR_LINEAR)},
      "cubic"=>{st.degree=3;(with_noise(planar_cubic(),0.01,0.0,1),PLANAR_CUBIC)},
      "lorenz"=>(with_noise(lorenz(10000),0.0,0.1,1),LORENZ),
      "lorenz0"=>(lorenz(10000),LORENZ),
      "lorenz1"=>(with_noise(lorenz(10000),0.0,1.0,1),LORENZ),
      "rossler"=>(with_noise(rossler(),0.0,0.05,1),ROSSLER),
      "vdp"=>{st.degree=3;(with_noise(van_der_pol(),0.0,0.02,1),VAN_DER_POL)},
      _=>panic!()};
    let t0=std::time::Instant::now();
    let mut last=String::new();
    let r=discover(&data,&st,&mut |p|{ if p.stage!=last {last=p.stage.to_string(); eprintln!("{:.2} {:.2}s {}",p.fraction,t0.elapsed().as_secs_f64(),p.stage);} std::ops::ControlFlow::Continue(())});
    match r{Err(e)=>println!("error {e}"),Ok(d)=>{
      for e in &d.equations{print!("{} =",e.lhs);for t in &e.terms{print!(" {:+.5}({:.5}) {}",t.coefficient,t.standard_error.unwrap_or(f64::NAN),t.factors.join(" "));}
       if !e.denominator.is_empty(){print!(" / 1");for t in &e.denominator{print!(" {:+.5} {}",t.coefficient,t.factors.join(" "));}} println!();}
      println!("noise {:?} warnings {:?}",d.noise,d.warnings);
      println!("{which}: {:?} in {:.1}s",worst_error(&d,truth),t0.elapsed().as_secs_f64());
    }}
}
