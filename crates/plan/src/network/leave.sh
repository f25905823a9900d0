# give back what the leases name; the last to leave takes a network along
leave_networks() { # state directory, container
	local member LOCK
	[ -d "$1" ] || return 0
	exec {LOCK}<"$1"; flock "$LOCK"
	for member in "$1/.members/$2"/*; do
		[ -L "$member" ] || continue
		leave_network "$1" "${member##*/}" "$(readlink "$member")" "$2"
		rm -f "$member"
	done
	rmdir "$1/.members/$2" "$1/.members" 2>/dev/null || :
	if [ -z "$(find "$1" -mindepth 1 -maxdepth 1 -not -name '.*')" ]; then
		rm -f "$1/.host" "$1/.entry"
		rmdir "$1/.ports" "$1" 2>/dev/null || :
	fi
	exec {LOCK}<&-
}
withdraw() { # map, family, set, key
	nft delete element inet sampan "$1" "{ $4 }" || :
	nft delete element "$2" sampan "$3" "{ $4 }" 2>/dev/null || :
}
leave_network() { # state directory, network, address, container
	local lease=$1/$2/leases/$3 bridge word a b c d six='' net4 net6
	if grep -qsx "container $4" "$lease"; then
		while read -r word a b c d; do
			case $word in
			address6) six=$a; rm -f "$1/$2/leases/$a" ;;
			name) rm -f "$1/$2/names/${a,,}/$3"; rmdir "$1/$2/names/${a,,}" 2>/dev/null || : ;;
			publish)
				rm -f "$1/.ports/$a.$c.$b"
				case $b in
				all)
					withdraw any4 ip any "$a . $c"
					[ -z "$six" ] || withdraw any6 ip6 any "$a . $c" ;;
				0.0.0.0) withdraw any4 ip any "$a . $c" ;;
				::) withdraw any6 ip6 any "$a . $c" ;;
				*:*) withdraw at6 ip6 at "$a . $b . $c" ;;
				*) withdraw at4 ip at "$a . $b . $c" ;;
				esac
				[ "$a" != udp ] || conntrack -D -p udp --orig-port-dst "$c" >/dev/null 2>&1 || : ;;
			esac
		done <"$lease"
		rm -f "$lease"
	fi
	rmdir "$1/$2/leases" 2>/dev/null || return 0
	bridge=$(sed -n 's/^bridge //p' "$1/$2/record")
	net4=$(sed -n 's/^subnet4 \([^ ]*\) \([^ ]*\).*/\1\/\2/p' "$1/$2/record")
	net6=$(sed -n 's/^subnet6 \([^ ]*\) \([^ ]*\).*/\1\/\2/p' "$1/$2/record")
	if [ -n "$(find "$1" -mindepth 1 -maxdepth 1 -not -name '.*' -not -name "$2")" ]; then
		[ -n "$bridge" ] || bridge=- # of a parent's: nothing is there
		nft delete element inet sampan bridges "{ \"$bridge\" }" || :
		nft delete element inet sampan loops "{ \"$bridge\" . \"$bridge\" }" || :
		nft delete element inet sampan subnets4 "{ $net4 }" || :
		[ -z "$net6" ] || nft delete element inet sampan subnets6 "{ $net6 }" || :
		for word in internal masked; do
			nft delete element inet sampan $word "{ \"$bridge\" }" 2>/dev/null || :
		done
	else
		nft delete table inet sampan || :
		if [ -e "$1/.entry" ]; then
			nft delete table ip sampan || :
			nft delete table ip6 sampan || :
			ip link delete sampan-in || :
			ip -6 rule delete priority 13700 2>/dev/null || :
		fi
		while read -r word a; do echo "$a" >"$word" || :; done < <(cat "$1/.host" 2>/dev/null)
	fi
	case $bridge in '' | -) ;; *) ip link delete "$bridge" || : ;; esac
	rm -f "$1/$2/record"; rmdir "$1/$2/names" 2>/dev/null || :; rmdir "$1/$2"
}
