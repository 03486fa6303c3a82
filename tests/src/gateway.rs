//! The whole gateway over a test's ports, for `application!`: the one place of the tests that knows what a process has.

use actix_web::web;
use carillon::graphql::scope::Process;
use carillon::http::Gateway;
use carillon_domain::files::Files;
use carillon_domain::ports::Ports;
use carillon_domain::tenancy::{Doorkeeper, PasswordSettings};

/// A gateway with files in memory.
pub fn gateway(ports: Ports) -> web::Data<Gateway> {
    gateway_with(ports, Files::open("memory:").expect("files in memory"))
}

/// A gateway with files of a world.
pub fn gateway_with(ports: Ports, files: Files) -> web::Data<Gateway> {
    let desk = Doorkeeper::new(&ports, &ports.keys, PasswordSettings::default()).expect("a doorkeeper");
    web::Data::new(Gateway::new(Process { ports, desk, files }))
}
