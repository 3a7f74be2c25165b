package io.tandem.cluster;

import java.util.List;

/** Where the nodes of a forked cluster run. */
interface Hosts {
    /** All on the loopback interface. */
    Hosts LOOPBACK = new Hosts() {
        @Override
        public String address(String node) {
            return "127.0.0.1";
        }

        @Override
        public List<String> before(String node) {
            return List.of();
        }
    };

    /** Address that the node binds to and others reach it by. */
    String address(String node);

    /** What goes before the node's command. */
    List<String> before(String node);
}
