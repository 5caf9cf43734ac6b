//! Running the sensor.
//!
//! # Start
//!
//! ```text
//! vendorwatch run -i span0 --state-dir /var/lib/vendorwatch
//! ```
//!
//! captures from `span0`, serves metrics on port 10064 and keeps what it found. It needs
//! `CAP_NET_RAW`; the in-kernel filter also needs `CAP_BPF` and `CAP_PERFMON`, and without them
//! says so once and looks at every frame. `systemd/vendorwatch.service` runs it as a user of its
//! own with `CAP_NET_RAW` alone. `vendorwatch interfaces` tells before the start what would
//! distort a mirror: joined packets, a small MTU.
//!
//! Sockets are opened first. Then all capabilities go but `CAP_NET_RAW`, by which an interface
//! that went away is opened again, and `CAP_BPF` where a filter runs in the kernel. Where no
//! service manager changes the user, `--user` does.
//!
//! # Signals
//!
//! | signal | what happens |
//! | --- | --- |
//! | `SIGTERM`, `SIGINT` | reads what is in the rings, finishes, writes, exits 0 |
//! | `SIGHUP` | reads configuration and signatures again |
//! | `SIGUSR1` | opens the event file again, after it was rotated |
//!
//! # Reload
//!
//! `SIGHUP` and `POST /-/reload` do the same: the new configuration and signatures are read,
//! checked, compiled, and swapped in whole between two batches of frames; no frame is missed. When
//! anything is wrong the old ones stay, the log and the answer say what is wrong and in which line,
//! and `vendorwatch_config_last_reload_successful` is 0. What a reload changes is
//! `[signatures]` and `[[exception]]`. All other settings are changed by a restart only, networks
//! and tenants too; a reload that would change them is refused and names them.
//!
//! # Pages
//!
//! | page | for |
//! | --- | --- |
//! | `/` | people: vendors seen, what could not be seen, load |
//! | `/metrics` | Prometheus, text format; gzip when it asks |
//! | `/-/healthy` | 200 while the process serves |
//! | `/-/ready` | 200 while it captures with signatures, 503 otherwise; also when every interface is down |
//! | `/-/reload` | this host only, `POST` |
//! | `/api/v1/findings` | this host only; `?vendor=`, `?network=`, `?client=`; counts what the configuration leaves out, and shows it where its vendor is named |
//! | `/config` | this host only: what is in effect, and why |
//!
//! "This host only" means a connection from the loopback whose `Host` is `localhost` or a loopback
//! address. A reverse proxy on this host that forwards those pages opens them: forward `/metrics`
//! and the health pages alone.
//!
//! # Exit codes
//!
//! 0: done. 1: the job failed: an interface is not there, a port is in use, a file cannot be
//! written, nothing could be read; the unit tries again until it works. 2: bad usage, configuration
//! or signatures; the unit does not try again.
//!
//! # When something goes wrong while it runs
//!
//! | what | what it does | where it shows |
//! | --- | --- | --- |
//! | an interface goes down or away | waits, opens it again | log, `vendorwatch_capture_up` |
//! | a ring is full | the kernel drops frames | `vendorwatch_capture_dropped_packets_total` |
//! | the correlator falls behind | records are lost | `vendorwatch_worker_records_lost_total` |
//! | the event file cannot be written | events are lost, it is tried again | log once a minute, `vendorwatch_events_dropped_total` |
//! | the disk of the inventory is full | changes wait in memory | log, `vendorwatch_inventory_failed_writes_total` with the reason `full` |
//! | the file of the inventory is removed or replaced | what changes from then on goes to the one at its path | log |
//! | the clock is wrong when it starts | findings get the wrong time; none is forgotten for its age before the clock went on for an hour and was not set | |
//! | many connections to its port ask nothing | the oldest is closed for the next | log, once |
//! | a table is full | the oldest state goes | `vendorwatch_table_evicted_total` |
//! | a worker is stuck | the watchdog is not told that all is well | the service manager restarts it |
