//! A minimal HTTP server for one page.
//!
//! It answers `GET /` and nothing else, opens no files, and closes each connection after the answer. On a loopback address
//! it refuses requests for other host names, so that a website cannot read the page through a name that it points here.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Maximum size of a request.
const MAX_REQUEST: usize = 16 << 10;
/// How long a client may take to send its request, and to read the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Maximum number of connections at a time.
const MAX_CONNECTIONS: usize = 32;
/// How soon a stop has an effect.
const TICK: Duration = Duration::from_millis(50);

/// An HTML page.
pub struct Page {
    pub html: String,
    /// After how many seconds a browser should load it again, if it will change.
    pub refresh_s: Option<u32>,
}

/// Serves a page until `stop` is set. The page is made for each request; an error is shown instead of it.
///
/// # Errors
/// Returns an error if connections cannot be accepted.
pub fn serve(
    listener: &TcpListener,
    page: &(dyn Fn() -> Result<Page, String> + Sync),
    stop: &AtomicBool,
) -> io::Result<()> {
    let local = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let connections = AtomicUsize::new(0);
    thread::scope(|scope| {
        while !stop.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((stream, _)) if connections.load(Ordering::Relaxed) < MAX_CONNECTIONS => {
                    connections.fetch_add(1, Ordering::Relaxed);
                    let connections = &connections;
                    scope.spawn(move || {
                        // A client that goes away is not an error of this program.
                        let _ = answer(stream, local, page, stop);
                        connections.fetch_sub(1, Ordering::Relaxed);
                    });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(TICK),
                Err(error) if is_of_client(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })
}

/// Returns whether `accept` failed because of one connection.
fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

fn answer(
    mut stream: TcpStream,
    local: SocketAddr,
    page: &dyn Fn() -> Result<Page, String>,
    stop: &AtomicBool,
) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let Some(request) = read_request(&mut stream, stop)? else { return Ok(()) };
    let response = respond(&request, local, page);
    stream.write_all(response.as_bytes())
}

/// Reads a request up to the end of its headers. Returns `None` if the client sends none in time.
fn read_request(stream: &mut TcpStream, stop: &AtomicBool) -> io::Result<Option<String>> {
    let deadline = Instant::now() + PATIENCE;
    // Short, so that an idle connection of a browser does not delay the end of the program.
    stream.set_read_timeout(Some(TICK))?;
    let mut bytes = Vec::new();
    let mut block = [0; 4096];
    while Instant::now() < deadline && !stop.load(Ordering::Relaxed) {
        match stream.read(&mut block) {
            Ok(0) => return Ok(None),
            Ok(count) => bytes.extend_from_slice(&block[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if bytes.windows(4).any(|end| end == b"\r\n\r\n") || bytes.len() > MAX_REQUEST {
            return Ok(Some(String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    Ok(None)
}

/// Returns the response to a request.
fn respond(request: &str, local: SocketAddr, page: &dyn Fn() -> Result<Page, String>) -> String {
    if request.len() > MAX_REQUEST {
        return response("431 Request Header Fields Too Large", "", &text("The request is too long."));
    }
    let mut lines = request.split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version] = words[..] else {
        return response("400 Bad Request", "", &text("This is not an HTTP request."));
    };
    if !version.starts_with("HTTP/1.") {
        return response("400 Bad Request", "", &text("This is not an HTTP request."));
    }
    let headers = lines.filter_map(|line| line.split_once(':'));
    let host = headers.filter(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, value)| value.trim()).next();
    if local.ip().is_loopback() && host.is_some_and(|host| !is_loopback(host)) {
        return response("403 Forbidden", "", &text("The page is only for this machine."));
    }
    if method != "GET" {
        return response("405 Method Not Allowed", "Allow: GET\r\n", &text("Only GET is allowed."));
    }
    if target.split('?').next() != Some("/") {
        return response("404 Not Found", "", &text("There is only the page /."));
    }
    match page() {
        Ok(Page { html, refresh_s }) => {
            let refresh = refresh_s.map(|seconds| format!("Refresh: {seconds}\r\n")).unwrap_or_default();
            response("200 OK", &refresh, &(html, "text/html"))
        }
        Err(message) => response("500 Internal Server Error", "Refresh: 5\r\n", &text(&message)),
    }
}

fn text(text: &str) -> (String, &'static str) {
    (format!("{text}\n"), "text/plain")
}

fn response(status: &str, headers: &str, (body, kind): &(String, &str)) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nX-Frame-Options: DENY\r\n{headers}Connection: \
         close\r\n\r\n{body}",
        body.len()
    )
}

/// Returns whether the host of a request is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn status(request: &str) -> String {
        let local = "127.0.0.1:80".parse().unwrap();
        let page = || Ok(Page { html: "<p>page</p>".to_owned(), refresh_s: Some(5) });
        let response = respond(request, local, &page);
        response.split("\r\n").next().unwrap().trim_start_matches("HTTP/1.1 ").to_owned()
    }

    #[test]
    fn only_get_of_the_page_is_answered() {
        for (request, expected) in [
            ("GET / HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n", "200 OK"),
            ("GET /?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", "200 OK"),
            ("GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n", "200 OK"),
            ("GET / HTTP/1.0\r\n\r\n", "200 OK"),
            ("GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", "404 Not Found"),
            ("GET //etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", "404 Not Found"),
            ("GET /%2e%2e/x HTTP/1.1\r\nHost: localhost\r\n\r\n", "404 Not Found"),
            ("POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", "405 Method Not Allowed"),
            ("DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", "405 Method Not Allowed"),
            ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403 Forbidden"),
            ("GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", "403 Forbidden"),
            ("GET /\r\n\r\n", "400 Bad Request"),
            ("nonsense", "400 Bad Request"),
            ("GET / SMTP\r\n\r\n", "400 Bad Request"),
        ] {
            assert_eq!(status(request), expected, "{request:?}");
        }
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(MAX_REQUEST));
        assert!(status(&long).starts_with("431"));
    }

    #[test]
    fn clients_are_served_until_the_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = AtomicBool::new(false);
        let page = || Ok(Page { html: "<p>Größe</p>".to_owned(), refresh_s: None });
        thread::scope(|scope| {
            let server = scope.spawn(|| serve(&listener, &page, &stop));
            let _idle = TcpStream::connect(address).unwrap();
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.contains("Content-Length: 14\r\n") && answer.ends_with("\r\n\r\n<p>Größe</p>"), "{answer}");
            assert!(!answer.contains("Refresh"));
            stop.store(true, Ordering::Relaxed);
            server.join().unwrap().unwrap();
        });
    }
}
