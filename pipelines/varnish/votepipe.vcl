# votepipe.vcl - Varnish 7 in front of vote-ingest's reads, purged by vote-invalidate.
# PURGE of a path drops it; PURGE with a Surrogate-Key header drops all that carry one of its keys.
# SPDX-License-Identifier: Apache-2.0
#
# Answers are kept for each token by itself: Varnish does not check tokens. So one path is many objects, and both kinds of
# purge are bans, by what the object's own headers say: the ban lurker works through them in the background.
vcl 4.1;

backend default {
    .host = "127.0.0.1";
    .port = "8080";
}

# Who may purge: vote-invalidate.
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
            # Ids have no character but the dot that means something else in a regular expression.
            ban("obj.http.Surrogate-Key ~ (^|\s)(" +
                regsuball(regsuball(req.http.Surrogate-Key, "\.", "\\."), "\s+", "|") + ")(\s|$)");
        } else {
            ban("obj.http.X-Url == " + req.url);
        }
        return (synth(200, "Purged"));
    }
    # Committed counts alone: what is somebody's own is not kept.
    if ((req.method != "GET" && req.method != "HEAD") || req.url !~ "^/api/(projects/|leaderboard)") {
        return (pass);
    }
    return (hash);
}

sub vcl_hash {
    hash_data(req.url);
    hash_data(req.http.Authorization);
    return (lookup);
}

sub vcl_backend_response {
    set beresp.http.X-Url = bereq.url;
    if (beresp.status == 200) {
        set beresp.ttl = 60s;
        set beresp.grace = 0s; # what was purged is not shown again
    } else {
        set beresp.uncacheable = true;
        set beresp.ttl = 0s;
    }
    return (deliver);
}

sub vcl_deliver {
    unset resp.http.X-Url;
}
