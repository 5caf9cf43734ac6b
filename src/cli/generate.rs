//! `vendorwatch generate`: files that packages install, printed by the program they describe.

use std::io::{self, Write};

use super::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The man page
    Man,
    /// A configuration file with every key, its default and the reason for it
    Config,
    /// The Grafana dashboard
    Dashboards,
    /// The Prometheus recording and alert rules
    Rules,
    /// The systemd unit
    Unit,
    /// The table of metric families in the manual
    Metrics,
    /// A completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut text = Vec::new();
    match &args.what {
        What::Man => man(&mut text)?,
        What::Metrics => text.extend_from_slice(crate::export::metrics::table().as_bytes()),
        What::Config => text.extend_from_slice(crate::config::default_file().as_bytes()),
        What::Dashboards => {
            serde_json::to_writer_pretty(&mut text, &crate::export::dashboard::dashboard())?;
            text.push(b'\n');
        }
        What::Rules => text.extend_from_slice(RULES),
        What::Unit => text.extend_from_slice(UNIT),
        What::Completions { shell } => {
            clap_complete::generate(*shell, &mut super::command(), "vendorwatch", &mut text);
        }
    }
    io::stdout().lock().write_all(&text)?;
    Ok(())
}

/// One page: the program, then each command with those below it. No section lists the commands as
/// pages of their own, for there are none.
fn man(out: &mut Vec<u8>) -> io::Result<()> {
    let command = super::command();
    let page = clap_mangen::Man::new(command.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    commands(&command, "", out)?;
    page.render_extra_section(out)?;
    page.render_version_section(out)
}

fn commands(of: &clap::Command, before: &str, out: &mut Vec<u8>) -> io::Result<()> {
    for sub in of.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let name = format!("{before} {}", sub.get_name());
        let page = clap_mangen::Man::new(sub.clone().bin_name(format!("vendorwatch{name}")));
        writeln!(out, ".SH \"COMMAND{}\"", name.to_uppercase())?;
        page.render_synopsis_section(out)?;
        page.render_description_section(out)?;
        page.render_options_section(out)?;
        commands(sub, &name, out)?;
    }
    Ok(())
}

const RULES: &[u8] = include_bytes!("../../prometheus/vendorwatch.rules.yml");
const UNIT: &[u8] = include_bytes!("../../systemd/vendorwatch.service");
