# Plays docker, one container called box; notes in ~/docker what it was told.
cd ~/docker 2>/dev/null || { mkdir -p ~/docker; cd ~/docker; }
echo "$*" >> log
case "$1 $2" in
  "image inspect") [ -e "image" ] && echo "id-of-$(cat image)";;
  "pull "*) echo "$2" > image;;
  "inspect "*) [ -e found ] && cat found;;
  "rm "*) rm -f found;;
  "start "*) sed -i s/false/true/ found;;
  "info "*) ;;
  "run "*) run=$(echo "$*" | sed 's/.*rayfleet-run=\([^ ]*\).*/\1/'); echo "true id-of-$(cat image) $run" > found;;
  "exec "*) shift; while [ "${1#-}" != "$1" ]; do [ "$1" = -e ] && shift; shift; done; shift; cd ~; export IN=box; exec "$@";;
esac
