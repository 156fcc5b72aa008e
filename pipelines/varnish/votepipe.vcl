# votepipe.vcl - Varnish 7 before vote-ingest: answers with public counts are kept until vote-invalidate purges them.
#
#   varnishd -a 127.0.0.1:6081 -f .../votepipe.vcl        vote-invalidate --http-url http://127.0.0.1:6081
#
# Only GET /api/projects/<id> and GET /api/leaderboard are kept: they are the same for everyone. Once kept, they are given
# to those without a token, too, as vote-notify does. PURGE, from here alone:
#
#   PURGE /path                                   that answer; with `Soft-Purge: 1` it is stale, and given while refilled
#   PURGE / with `Surrogate-Key: key1 key2 ...`   every answer that has one of the keys in its own Surrogate-Key
#
# SPDX-License-Identifier: Apache-2.0
vcl 4.1;

import purge;

backend default {
    .host = "127.0.0.1";
    .port = "8080";
}

acl purgers {
    "127.0.0.1";
    "::1";
}

sub vcl_recv {
    if (req.method == "PURGE") {
        if (client.ip !~ purgers) {
            return (synth(403, "Forbidden"));
        }
        if (req.http.Surrogate-Key) {
            # An expression over the object alone: the ban lurker can carry it out, and forget it.
            set req.http.X-Keys = regsuball(req.http.Surrogate-Key, "[^A-Za-z0-9._: -]", "");
            set req.http.X-Keys = regsuball(regsuball(req.http.X-Keys, "[.]", "[.]"), " +", "|");
            ban("obj.http.Surrogate-Key ~ (^|\s)(" + req.http.X-Keys + ")(\s|$)");
            return (synth(200, "Banned"));
        }
        return (hash);
    }
    if ((req.method == "GET" || req.method == "HEAD") && req.url ~ "^/api/(projects/|leaderboard(\?|$))") {
        return (hash);
    }
    return (pass);
}

# One site: by which name it was asked for makes no difference.
sub vcl_hash {
    hash_data(req.url);
    return (lookup);
}

sub drop_object {
    if (req.http.Soft-Purge) {
        set req.http.X-Purged = purge.soft(0s);
    } else {
        set req.http.X-Purged = purge.hard();
    }
}

sub vcl_hit {
    if (req.method == "PURGE") {
        call drop_object;
        return (synth(200, "Purged"));
    }
}

sub vcl_miss {
    if (req.method == "PURGE") {
        call drop_object;
        return (synth(200, "Purged"));
    }
    # vote-admin check looks, and does not fill (RFC 9111 section 5.2.1.7).
    if (req.http.Cache-Control ~ "only-if-cached") {
        return (synth(504, "Not cached"));
    }
}

sub vcl_backend_response {
    if (beresp.status == 200 && beresp.http.Surrogate-Key) {
        # Browsers are told to ask each time (no-cache); this cache is told when something changes.
        set beresp.ttl = 60s;
        set beresp.grace = 10s;
        return (deliver);
    }
    set beresp.uncacheable = true;
    set beresp.ttl = 0s;
    return (deliver);
}

sub vcl_deliver {
    set resp.http.X-Cache = "miss";
    if (obj.hits > 0) {
        set resp.http.X-Cache = "hit";
    }
}
