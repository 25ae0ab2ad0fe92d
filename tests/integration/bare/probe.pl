# A program that says in the file `seen` which signals it gets. Signal 64 ends it: it comes after all others.
# usage: probe.pl NAME [STATUS]
use strict;
use Config;

my ($name, $status) = (@ARGV, 0);
my $end = 0;
open my $seen, '>>', 'seen' or die;
my @names = split ' ', $Config{sig_name};
for my $number (grep { $_ != 9 && $_ != 19 && $_ != 32 && $_ != 33 } 1 .. 63) {
    my $signal = $names[$number];
    # Perl itself ignores SIGFPE.
    next if $number != 8 && ($SIG{$signal} // '') eq 'IGNORE';
    $SIG{$signal} = sub { syswrite $seen, "$name $number\n" };
}
$SIG{$names[64]} = sub { $end = 1 };
if (open my $file, '>', "$name.pid") { print $file "$$\n"; close $file }
syswrite $seen, "$name ready\n";
select undef, undef, undef, 0.02 until $end;
exit $status;
