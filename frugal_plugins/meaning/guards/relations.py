"""Which English words mean the opposite, the same, or another thing of the same kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_OPPOSITES: Final = """
enable/disable/deactivate allow/deny/block/forbid/ban/prohibit/prevent allowed/banned/forbidden/prohibited/blocked/denied
permit/forbid/prohibit increase/decrease/reduce/lower raise/lower/reduce/cut add/remove/delete/subtract start/stop/end/finish
begin/end/finish/stop open/close/shut opened/closed grant/revoke/deny activate/deactivate connect/disconnect install/uninstall/remove
lock/unlock show/hide include/exclude included/excluded create/delete/destroy on/off up/down encrypt/decrypt import/export buy/sell/return
purchase/sell approve/deny/reject/decline accept/reject/decline/refuse safe/unsafe/dangerous/harmful legal/illegal/unlawful best/worst
good/bad/poor better/worse most/least/fewest more/less/fewer before/after minimum/maximum min/max highest/lowest high/low
above/below/under over/under earliest/latest first/last compulsory/optional/voluntary mandatory/optional/voluntary
required/optional/unnecessary public/private male/female man/woman men/women boy/girl father/mother husband/wife
advantage/disadvantage/drawback pro/con benefit/drawback/risk/disadvantage/harm win/lose gain/lose hot/cold long/short fast/slow rich/poor
borrow/lend deposit/withdraw/withdrawal incoming/outgoing inbound/outbound domestic/international/foreign local/international/remote
weekday/weekend morning/evening/night am/pm eat/avoid refundable/nonrefundable/non-refundable full-time/part-time
adult/child/kid/children/minor buying/selling upload/download subscribe/unsubscribe arrive/depart/leave arrival/departure inside/outside
indoor/outdoor indoors/outdoors early/late old/new/young free/paid/charged hire/fire pass/fail positive/negative left/right north/south
east/west northern/southern eastern/western with/without freeze/unfreeze/thaw/melt join/leave/quit upgrade/downgrade send/receive/get
give/receive/take single/joint/double/married rent/own/buy rented/owned temporary/permanent temporarily/permanently always/never
sometimes/never often/rarely/seldom easy/hard/difficult simple/complex/complicated cheap/expensive cheapest/dearest heavy/light
strong/weak strength/weakness success/failure succeed/fail true/false correct/incorrect/wrong right/wrong valid/invalid
complete/incomplete known/unknown same/different similar/different increase/drop rise/fall/drop growth/decline profit/loss income/expense
asset/liability debit/credit lender/borrower buyer/seller landlord/tenant employer/employee teacher/student doctor/patient parent/child
sender/recipient/receiver customer/supplier/vendor import/export entry/exit enter/exit/leave check-in/check-out checkin/checkout
login/logout log-in/log-out push/pull lift/lower fill/empty full/empty wet/dry clean/dirty thick/thin wide/narrow deep/shallow
big/small/little large/small tall/short loud/quiet bright/dark dark/light day/night sunrise/sunset sweet/sour/bitter raw/cooked vegan/meat
natural/artificial/synthetic manual/automatic online/offline/in-person/in-store wired/wireless digital/physical/paper internal/external
minor/major junior/senior beginner/advanced/expert basic/advanced/premium/pro standard/express/premium/priority
personal/business/corporate individual/group/family residential/commercial active/inactive/expired/dormant present/absent alive/dead
love/hate like/dislike trust/distrust friend/enemy attack/defend save/spend/delete lend/repay earn/spend lengthen/shorten
expand/shrink/contract/collapse extend/shorten/cut gross/net fixed/variable/floating mute/unmute follow/unfollow block/unblock pin/unpin
archive/unarchive/restore/delete load/unload pack/unpack wrap/unwrap mount/unmount link/unlink subscribe/cancel renew/cancel/terminate
keep/cancel/discard/delete continue/stop/cancel/pause pause/resume/continue sync/unsync opt-in/opt-out boil/freeze heat/cool warm/cool
sleep/wake remember/forget attach/detach merge/split hidden/visible earlier/later sooner/later latter/former ascending/descending
horizontal/vertical clockwise/counterclockwise/anticlockwise front/back/rear top/bottom upper/lower upstairs/downstairs
"""

_SAME: Final = """
cancel terminate discontinue end|buy purchase order get|begin start commence|change modify alter edit update switch amend
delete remove erase|fix repair solve resolve|refund reimbursement reimburse|cost price charge fee pricing costs|pay payment paying
ship deliver send dispatch shipping delivery post|phone telephone mobile cell cellphone smartphone|car vehicle auto automobile|film movie
photo picture image pic photograph|flat apartment|kid child kids children|big large huge|small little tiny|quick fast rapid speedy
contact reach call|job position role|ill sick unwell|doctor physician gp|holiday vacation|lost missing misplaced|stolen theft
password passcode|account acct profile|shop store|trip journey travel|town city|error problem issue trouble fault|work function operate
broken faulty defective|open opening|closed shut|hours times schedule|allowed permitted allow permit okay
required needed necessary mandatory compulsory require|difference differ distinguish different|meaning mean define definition
create make build set setup|increase raise boost grow|decrease reduce lower lessen|check verify confirm see view|assist help support
reply respond answer|receive get obtain|choose select pick|show display|begin start|finish complete|happen occur|explain describe
near nearby close closest nearest|email e-mail mail|wifi wi-fi wireless|reset recover restore|log login signin sign
register enroll signup join|leave depart|arrive come get|often frequently|usually typically normally generally|eat consume|drink beverage
meal food|lawyer attorney solicitor|salary pay wage wages|company firm business|house home|rubbish trash garbage|couch sofa|exam test
university college|return send|replace exchange swap|transfer move send|fridge refrigerator|tv television|laptop notebook|activate enable
deactivate disable|max maximum|min minimum|approximately about roughly|location place address|website site webpage page|app application
bill invoice|customer client|subscription plan membership|warranty guarantee|discount reduction coupon promo|balance amount|due payable
block freeze|add insert include|pet animal|bring take carry|luggage baggage bag suitcase|ticket booking reservation|book reserve
treat cure remedy treatment|symptom sign|cause reason causes|effect impact consequence|recommend suggest advise recommended|visa permit
safe secure|parcel package|quantity amount number|track trace locate follow|weight mass|height tall|length long|duration long
talk speak chat|advice tip tips|begin starting|max limit cap|supply provide offer|cheap inexpensive affordable
"""

_KINDS: Final = """
colour: red blue green yellow black white brown purple pink orange grey gray silver gold beige
country: france germany spain italy portugal england uk britain scotland wales ireland usa us america canada mexico brazil argentina
 chile china japan korea india pakistan australia austria switzerland sweden norway denmark finland iceland poland russia ukraine turkey
 greece egypt israel iran iraq kenya nigeria vietnam thailand indonesia malaysia singapore philippines netherlands holland belgium
 hungary romania croatia czechia peru colombia cuba morocco europe asia africa
city: london paris berlin madrid rome lisbon vienna zurich geneva dublin edinburgh manchester york boston chicago seattle denver dallas
 houston miami toronto vancouver montreal sydney melbourne tokyo osaka beijing shanghai delhi mumbai bangalore dubai moscow athens prague
 budapest warsaw oslo stockholm copenhagen
people: english french german spanish italian portuguese dutch swedish norwegian danish finnish polish russian turkish greek arabic
 hebrew hindi chinese mandarin japanese korean vietnamese thai american british canadian australian mexican indian irish scottish welsh
 brazilian european asian african latin
maker: visa mastercard amex paypal apple google microsoft amazon samsung android iphone ipad ios windows mac macos linux ubuntu facebook
 instagram twitter whatsapp telegram netflix spotify youtube uber lyft airbnb tesla toyota honda ford bmw audi nissan sony nintendo xbox
 playstation openai anthropic chrome firefox safari edge outlook gmail excel word python java javascript typescript rust golang ruby php
 mysql postgres postgresql mongodb redis docker kubernetes
animal: dog cat bird fish horse cow pig sheep goat chicken duck rabbit hamster snake turtle mouse rat lion tiger bear wolf elephant
 monkey
food: rice pasta bread beef pork lamb chicken turkey fish salmon tuna shrimp egg milk cheese butter yogurt apple banana orange lemon
 grape mango potato tomato onion garlic carrot spinach broccoli bean coffee tea wine beer water juice sugar salt pepper honey flour oil
 chocolate pizza burger soup salad
family: mother father mom dad mum sister brother son daughter uncle aunt cousin niece nephew grandmother grandfather wife husband spouse
 partner
plan: free basic starter standard plus pro premium business enterprise family student individual team gold silver platinum bronze
way: email phone chat post sms fax app website branch
money: cash card cheque check transfer voucher credit debit bitcoin
meal: breakfast lunch dinner supper brunch
sport: football soccer basketball baseball tennis golf cricket rugby hockey swimming running cycling boxing
room: kitchen bathroom bedroom garage garden attic basement office
body: head eye ear nose throat chest heart stomach back arm hand leg knee foot skin hair tooth lung liver kidney
document: passport licence license visa id permit certificate invoice receipt contract
"""


def _spread(groups: list[list[str]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for group in groups:
        for word in group:
            found.setdefault(word, set()).update(group)
    return {word: frozenset(others - {word}) for word, others in found.items()}


def _opposites() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for entry in _OPPOSITES.split():
        word, *others = entry.split("/")
        for other in others:
            found.setdefault(word, set()).add(other)
            found.setdefault(other, set()).add(word)
    return {word: frozenset(others) for word, others in found.items()}


def _kinds() -> dict[str, str]:
    found: dict[str, str] = {}
    kind = ""
    for word in _KINDS.split():
        if word.endswith(":"):
            kind = word[:-1]
        else:
            found.setdefault(word, kind)
    return found


OPPOSITES: Final[Mapping[str, frozenset[str]]] = _opposites()
SAME: Final[Mapping[str, frozenset[str]]] = _spread([group.split() for line in _SAME.strip().splitlines() for group in line.split("|")])
KINDS: Final[Mapping[str, str]] = _kinds()
"""Words of one kind exclude each other: a question about one is not a question about another."""
