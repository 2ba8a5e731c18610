//! Every difference from Envoy that is meant, or known and not mended yet, by the scenes that show it, with its reason.
//!
//! A scene that differs and does not stand here fails the suite; so does one that stands here and differs in something else than `shows`.
//! One that stands here and does not differ any more is named in the report, to be taken out.

/// A documented deviation.
#[derive(Debug)]
pub struct Deviation {
    /// The scenes and configurations.
    pub scenes: &'static [&'static str],
    /// Meant, or missing.
    pub kind: Kind,
    /// A line of the difference that must be there (`-` Envoy's, `+` ours): other differences are not covered.
    pub shows: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// What kind of deviation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ours does otherwise, and is to.
    Meant,
    /// Ours cannot do it yet.
    NotYet,
}

impl Kind {
    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Meant => "meant",
            Self::NotYet => "not yet",
        }
    }
}

impl Deviation {
    /// Whether this is the difference that is documented.
    pub fn covers(&self, difference: &str) -> bool {
        difference.contains(self.shows)
    }
}

/// The documented deviation of a scene, if any.
pub fn of(scene: &str) -> Option<&'static Deviation> {
    ALL.iter().find(|d| d.scenes.contains(&scene))
}

/// All of them.
pub static ALL: &[Deviation] = &[
    Deviation {
        scenes: &[
            "two different lengths",
            "a length list",
            "a length with a plus",
            "a length in hex",
            "a negative length",
            "a length too large to count",
            "a space before the colon",
            "a NUL in a value",
            "no path",
            "a header name with a space",
            "a header without a name",
            "a header line without a colon",
            "plain nonsense",
            "a control character in the path",
        ],
        kind: Kind::Meant,
        shows: "-   body by length: \"Bad Request\"\n+   body by length: \"\"",
        reason: "400 and the connection closed on both sides; ours says so without a body or a server header, as hyper's parser answers",
    },
    Deviation {
        scenes: &["an absolute target without a path"],
        kind: Kind::Meant,
        shows: "-   HTTP/1.1 404 Not Found",
        reason: "a target with a query and without a path is for the root (RFC 9112, section 3.2.1); Envoy finds no route for it",
    },
    Deviation {
        scenes: &["headers of 70 KiB", "110 headers", "more headers than a limit of its own"],
        kind: Kind::Meant,
        shows: "-   body by length: \"Request Header Fields Too Large\"\n+   body by length: \"\"",
        reason: "431 and the connection closed on both sides; ours without a body, as hyper's parser answers",
    },
    Deviation {
        scenes: &["headers beyond a limit of its own"],
        kind: Kind::Meant,
        shows: "-   HTTP/1.1 431 Request Header Fields Too Large",
        reason: "the limit bounds what is read ahead: a head that comes in one piece may exceed it by that piece",
    },
    Deviation {
        scenes: &["chunked not last", "an unknown transfer encoding"],
        kind: Kind::Meant,
        shows: "+   HTTP/1.1 400 Bad Request",
        reason: "refused on both sides, as 400 instead of 501 (RFC 9112, section 6.1 allows either for a coding that is not understood)",
    },
    Deviation {
        scenes: &["content-length and chunked", "chunked twice"],
        kind: Kind::Meant,
        shows: "+   chunked: \"hello\"",
        reason: "read as chunked and sent on with that one framing, which cannot be read in two ways (RFC 9112, section 6.3); Envoy refuses it",
    },
    Deviation {
        scenes: &["two equal lengths"],
        kind: Kind::Meant,
        shows: "+   content-length 5: \"hello\"",
        reason: "equal lengths are sent on as one (RFC 9110, section 8.6); Envoy refuses them",
    },
    Deviation {
        scenes: &["a folded header", "a bare CR in a value", "two spaces"],
        kind: Kind::Meant,
        shows: "+   HTTP/1.1 400 Bad Request",
        reason: "refused: obsolete or broken syntax that other parsers read otherwise (RFC 9112, sections 3, 2.2 and 5.2); Envoy lets it through",
    },
    Deviation {
        scenes: &["a chunk longer than it says"],
        kind: Kind::Meant,
        shows: "-   HTTP/1.1 200 OK",
        reason: "a broken chunk ends the request with an error; Envoy answers as if it had not been there",
    },
    Deviation {
        scenes: &["a chunk size that is not one"],
        kind: Kind::Meant,
        shows: "-   body by length: \"Bad Request\"\n+   body by length: \"\"",
        reason: "400 on both sides, ours without a body",
    },
    Deviation {
        scenes: &["two hosts"],
        kind: Kind::Meant,
        shows: "+   HTTP/1.1 400 Bad Request",
        reason: "two host lines are refused (RFC 9112, section 3.2); Envoy joins them with a comma and sends that on",
    },
    Deviation {
        scenes: &["HTTP/1.2", "HTTP/3.0 in plain text", "no version"],
        kind: Kind::Meant,
        shows: "+   HTTP/1.1 400 Bad Request",
        reason: "refused on both sides, as 400 instead of 426",
    },
    Deviation {
        scenes: &["a path without a slash"],
        kind: Kind::NotYet,
        shows: "+   HTTP/1.1 404 Not Found",
        reason: "no route takes it: 404 instead of 400",
    },
    Deviation {
        scenes: &["bytes above ASCII in the path"],
        kind: Kind::Meant,
        shows: "-   HTTP/1.1 400 Bad Request",
        reason: "sent on as they came, as nginx does; Envoy refuses them",
    },
    Deviation {
        scenes: &["a fragment in the path"],
        kind: Kind::Meant,
        shows: "+   GET /a HTTP/1.1",
        reason: "a fragment is no part of a request target: it is dropped; Envoy refuses it",
    },
    Deviation {
        scenes: &["HTTP/1.0 by default"],
        kind: Kind::Meant,
        shows: "+   HTTP/1.0 426 Upgrade Required",
        reason: "refused on both sides; ours answers in the request's version",
    },
    Deviation {
        scenes: &["a WebSocket upgrade is copied"],
        kind: Kind::Meant,
        shows: "- shadow: request 1, whole",
        reason: "a copy of an upgrade would talk to itself: it is not made; Envoy makes it, undocumented",
    },
    Deviation {
        scenes: &["a status of its own"],
        kind: Kind::Meant,
        shows: "-   HTTP/1.1 299 Unknown",
        reason: "a reason phrase has no meaning; none is made up",
    },
    Deviation {
        scenes: &["an answer to HEAD in chunks"],
        kind: Kind::Meant,
        shows: "-   transfer-encoding: chunked",
        reason: "an answer to HEAD has no body: its framing header may be left out (RFC 9110, section 9.3.2)",
    },
    Deviation {
        scenes: &["304 with a length"],
        kind: Kind::Meant,
        shows: "-   content-length: 5",
        reason: "304 has no body: its length may be left out (RFC 9110, section 15.4.5)",
    },
    Deviation {
        scenes: &["chunks with trailers, which are not let in"],
        kind: Kind::Meant,
        shows: "+   trailer x-t: 1",
        reason: "trailers pass unless they are told not to (RFC 9110, section 6.5); Envoy drops them over HTTP/1.1 unless told otherwise",
    },
    Deviation {
        scenes: &["te with more than trailers"],
        kind: Kind::Meant,
        shows: "-   te: trailers",
        reason: "a list is dropped whole; `te: trailers` alone passes",
    },
    Deviation {
        scenes: &[
            "the method",
            "a direct response to an upload",
            "an answer before the body has come",
            "a request that does not come whole",
        ],
        kind: Kind::NotYet,
        shows: "-   connection: close",
        reason: "both close a connection whose request was not read to its end; ours does not announce it",
    },
    Deviation {
        scenes: &["a close in the middle of the head"],
        kind: Kind::Meant,
        shows: "+   HTTP/1.1 503 Service Unavailable",
        reason: "a connection that ends is a connection termination (503), not a protocol error (502)",
    },
    Deviation {
        scenes: &["auto host rewrite of an address"],
        kind: Kind::NotYet,
        shows: "+   x-envoy-original-host: example.com",
        reason: "the header is written although the host stays",
    },
    Deviation {
        scenes: &["a gRPC matcher"],
        kind: Kind::NotYet,
        shows: "-   grpc-status: 2",
        reason: "direct responses to gRPC requests are not turned into gRPC statuses",
    },
    Deviation {
        scenes: &["a copy of a chunked upload", "a copy of an HTTP/2 request"],
        kind: Kind::Meant,
        shows: "+   content-length: ",
        reason: "a copy leaves when its whole body is there, so that a slow client does not hold a shadow's connection: its length is known",
    },
    Deviation {
        scenes: &["an upload that breaks off"],
        kind: Kind::Meant,
        shows: "- shadow: request 1, cut",
        reason: "a copy leaves when its whole body is there: half a request is not copied",
    },
    Deviation {
        scenes: &["connections are counted"],
        kind: Kind::NotYet,
        shows: "- stats: app.",
        reason: "open connections and all endpoints are not exported",
    },
    Deviation {
        scenes: &["a connection that fails is counted"],
        kind: Kind::Meant,
        shows: "+ stats: app.upstream_rq_total 1",
        reason: "a request is counted when it is given to the cluster, not when a connection takes it: none is missing from the account",
    },
    Deviation {
        scenes: &["an overflow is counted"],
        kind: Kind::Meant,
        shows: "+ stats: app.upstream_rq_pending_overflow 1",
        reason: "whatever a threshold turns away is counted under this one name",
    },
    Deviation {
        scenes: &["no filters"],
        kind: Kind::Meant,
        shows: "+ refuses",
        reason: "a connection manager without a router answers nothing: surely a mistake",
    },
    Deviation {
        scenes: &["a substitution with a group that is not there", "a host's name twice", "a star in the middle"],
        kind: Kind::Meant,
        shows: "+ refuses",
        reason: "cannot do what its author meant; Envoy loads it and lets it fail at run time",
    },
    Deviation {
        scenes: &["runtime layers"],
        kind: Kind::Meant,
        shows: "expected a number",
        reason: "runtime values are numbers here: everything that reads them takes a number",
    },
    Deviation {
        scenes: &[
            "ports ignored in domains",
            "chunks with trailers, let in",
            "an answer with trailers, let through",
            "a direct response with inline bytes",
            "a cluster that is not there, checked later",
            "a cluster that is not there, with a status",
            "expect: 100-continue left to the backend",
            "HTTP/1.0 without a host",
            "underscores refused",
            "underscores dropped",
            "attempts counted for the backend",
            "attempts counted for the client",
        ],
        kind: Kind::NotYet,
        shows: "+ the configuration is refused",
        reason: "a field is not supported: the file is refused, naming it",
    },
    Deviation {
        scenes: &["a traffic direction", "more common options", "HTTP/1 options", "a host's own options"],
        kind: Kind::NotYet,
        shows: "+ refuses",
        reason: "a field is not supported: the file is refused, naming it",
    },
];
