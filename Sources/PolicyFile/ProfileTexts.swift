// Written by policies/embed from the files there: change those, not this.

extension PolicyProfile {
    /// The text of each profile by its name, in the order in which they are shown.
    static let texts: [(name: String, text: String)] = [
        (
            "observe",
            #"""
            # observe: watches and reports, removes nothing. The default, with every default written out.
            #
            # Put it at ~/.config/hfjanitor/policy.yaml or /etc/hfjanitor/policy.yaml. 'hfjanitor policy check' reads it again,
            # 'hfjanitor plan' shows what it would do. Sizes: GB = 10^9, GiB = 2^30. Times: s m h d w y.

            # observe: the daemon only says what it would do. enforce: it does it.
            mode: observe

            # What loses protection by an edit of this file (a pin taken out, a shorter age) is kept this much longer.
            edit-grace: 10m
            # What a new or changed age rule takes is announced in the journal this long before.
            announce: 1h

            caches:
              # Without 'path' this is the cache that huggingface_hub uses: HF_HUB_CACHE, HF_HOME, ~/.cache/huggingface/hub.
              - min-age: 2h             # never touch anything younger
                recent-use: 48h         # opened within this = in use
                irreplaceable: keep     # keep what the Hub would not give back; evict: do not ask the Hub
                allow-empty: false      # whether the last complete revision may go

            # What no rule may take. A pattern is quoted: "*" alone means something else in YAML.
            pins: []
            #  - {repo: "meta-llama/*", revision: main, reason: production}

            # What may go, the cheapest loss first. Without rules nothing is removed by age.
            rules: []
            #  - {name: broken downloads, match: {state: incomplete}, older-than: 7d}

            verify:
              on-arrival: headers       # structure, headers or digests
              scrub-every: never        # how often every digest is computed anew, such as 30d
              rate: 200MB/s             # a scrub reads no faster
              io-pressure-max: 20%      # a scrub waits while others wait more than this for the disk

            repair:
              refetch: never            # what the daemon fetches again by itself: never, missing, corrupt
              max-concurrent-downloads: 1
              attempts: 5               # for each file
              estimate-margin: 1.10     # an estimated size is multiplied by this before room is looked for
              rate: unlimited           # or a size a second, such as 100MB/s

            control:
              allow-fetch: false        # whether clients of the socket may fetch new repos with your token

            """#
        ),
        (
            "workstation",
            #"""
            # workstation: one person's cache. Broken and superseded downloads go, and what was not used for two months.
            #
            # Look at 'hfjanitor plan' first; it shows each item, the rule and the number that decided. Then write 'mode: enforce'.
            mode: observe

            caches:
              # Without 'path': the cache that huggingface_hub uses.
              - min-free: 50GB          # below this, room is made…
                target-free: 80GB       # …until so much is free
                recent-use: 3d          # what was opened within this stays

            pins: []
            #  - {repo: my-org/my-finetune, reason: "only copy"}

            rules:
              # Downloads that were killed half-way. What is still being fetched is never touched.
              - name: stale partials
                match: {state: stale-partial}
                older-than: 3d
              # Files that no revision links to any more.
              - name: orphans
                match: {state: orphan}
                older-than: 3d
              # Revisions that lack files or were proven corrupt.
              - name: broken downloads
                match: {state: incomplete}
                older-than: 7d
              # 'main' has moved on since, and nobody opened the old commit again. The newest of them stays.
              - name: superseded
                match: {state: superseded}
                older-than: 14d
                keep-last: 1
              # Models that nobody opened for two months.
              - name: unused models
                match: {type: model}
                unused-for: 60d
              # The disk is nearly full: the least recently used first.
              - name: make room
                when: pressure
                order: lru

            """#
        ),
        (
            "gpu-server",
            #"""
            # gpu-server: a server of models with a floor. Nothing goes by age but rubbish; room is made when the disk fills up.
            #
            # Look at 'hfjanitor plan' first; it shows each item, the rule and the number that decided. Then write 'mode: enforce'.
            mode: observe

            caches:
              # The cache that the server is started with: its HF_HUB_CACHE. Without 'path', your own.
              - min-free: 10%           # of the filesystem: below this, room is made…
                target-free: 15%        # …until so much is free
                critical-free: 20GB     # below this, own downloads are refused and the journal has an alarm
                reserved: 100GB         # the cache is never made smaller than this
                irreplaceable: keep     # the Hub must confirm that it still has what goes; offline, write evict

            pins:
              # What is in production. Also kept, always: what is open, held, locked, or was opened by a process that still runs.
              - {repo: "meta-llama/*", revision: main, reason: production}

            rules:
              - {name: stale partials, match: {state: stale-partial}, older-than: 6h}
              - {name: orphans, match: {state: orphan}, older-than: 1d}
              - {name: broken downloads, match: {state: incomplete}, older-than: 1d}
              - {name: superseded, match: {state: superseded}, keep-last: 1, older-than: 7d}
              # Under pressure, in this order: data first, then large models that are cheap to fetch again, then the rest.
              - {name: datasets, when: pressure, match: {type: [dataset, space]}, order: largest}
              - {name: large models, when: pressure, match: {type: model, larger-than: 100GB}, order: cheapest-to-refetch}
              - {name: the rest, when: pressure, order: lru}

            verify:
              on-arrival: headers
              scrub-every: 30d          # every digest anew, slowly, in the background
              rate: 200MB/s
              io-pressure-max: 20%

            repair:
              refetch: missing          # what was complete once, or is pinned, and lacks files now
              endpoints:                # in this order; without any, HF_ENDPOINT
                - https://huggingface.co
              rate: 100MB/s

            notify:
              command: [/usr/bin/logger, -t, hfjanitor]     # no shell; the event as JSON on standard input
              min-severity: error

            metrics:
              listen: "127.0.0.1:9750"  # for Prometheus: /metrics and /healthz

            """#
        ),
        (
            "shared-cache",
            #"""
            # shared-cache: one cache of a team, perhaps on a network filesystem, with a cap of its own.
            #
            # Everybody's pins can lie beside it as policy.d/NAME.yaml. Look at 'hfjanitor plan' first, then write 'mode: enforce'.
            mode: observe
            edit-grace: 1d              # time to notice a pin that went missing
            announce: 1d

            caches:
              - path: /srv/hf/hub
                max-size: 4TB           # above this the cache is made smaller…
                target-size: 3.8TB      # …until it is this
                min-free: 5%
                target-free: 8%
                min-age: 1d
                recent-use: 7d
                # Here another user's processes, or another host's, cannot be seen. Without this line such files are never removed;
                # with it they count as unused when nobody opened them for so long.
                assume-unused-after: 30d
                also: [/srv/hf/more-models]     # repo folders may be links to here
                local-dirs: [/srv/hf/local]     # folders of 'hf download --local-dir', verified too

            pins:
              - {repo: "our-org/*", reason: "our own models"}

            rules:
              - {name: stale partials, match: {state: stale-partial}, older-than: 2d}
              - {name: orphans, match: {state: orphan}, older-than: 2d}
              - {name: superseded, match: {state: superseded}, keep-last: 2, older-than: 30d}
              # Pull requests that somebody tried.
              - {name: pull requests, match: {revision: "refs/pr/*"}, unused-for: 30d}
              - {name: unused, match: {repo: "*"}, unused-for: 180d}
              - {name: make room, when: pressure, order: lru}

            repair:
              refetch: missing
              endpoints:
                # A mirror in the house first; the token goes there only if this says so.
                - {url: "https://hub.example.org", token: false, allow-http: false}
                - https://huggingface.co

            notify:
              url: https://alerts.example.org/hfjanitor     # each event is posted as JSON
              min-severity: warning

            shared:
              enforcer: node1           # on a network filesystem, the one host that may remove

            """#
        ),
        (
            "ci-runner",
            #"""
            # ci-runner: a cache that only saves time. Everything in it can be fetched again, so a cap is kept and age decides.
            #
            # Look at 'hfjanitor plan' first; it shows each item, the rule and the number that decided. Then write 'mode: enforce'.
            mode: observe
            edit-grace: 0s
            announce: 0s

            caches:
              # Without 'path': the cache that huggingface_hub uses.
              - max-size: 50GB
                min-free: 10GB
                min-age: 1h             # a job's downloads are safe for this long
                recent-use: 1h
                irreplaceable: evict    # do not ask the Hub before something goes
                allow-empty: true

            rules:
              - {name: stale partials, match: {state: stale-partial}, older-than: 1h}
              - {name: orphans, match: {state: orphan}, older-than: 1h}
              - {name: broken downloads, match: {state: incomplete}, older-than: 1h}
              - {name: old, match: {repo: "*"}, unused-for: 7d}
              # Small test models stay longest: they are fetched by every job.
              - {name: large, when: pressure, match: {larger-than: 1GB}, order: largest}
              - {name: small, when: pressure, match: {smaller-than: 1GB}, order: oldest}

            """#
        ),
        (
            "archive",
            #"""
            # archive: only verifies. Nothing is ever removed or fetched; every digest is computed anew once a month.
            mode: observe

            caches:
              # Without 'path': the cache that huggingface_hub uses.
              - local-dirs: []          # folders of 'hf download --local-dir', verified too

            pins:
              - {repo: "*", reason: archive}

            verify:
              on-arrival: digests       # everything that arrives is proven at once
              scrub-every: 30d
              rate: 100MB/s
              io-pressure-max: 10%

            repair:
              refetch: never

            """#
        ),
    ]
}
